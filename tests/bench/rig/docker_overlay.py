"""Docker's overlay network between two hosts, beside which our throughput is measured.

Two daemons of our own, gone at the end, each in a network namespace of its own, both on one bridge as our own hosts
are; together they are a swarm with an attachable overlay network. Docker's balancing wants IPVS, which is not asked for
here: the containers speak to each other's addresses.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rig.swarm import IMAGE, READY_SECONDS, Swarm, answers, bring, clean, daemon, dockerd, wait_until
from tests.integration.network.netns_hosts import run

NETWORK = "bench"


@dataclass(frozen=True)
class Pair:
    """Network namespaces of two containers on different hosts, by descriptor, and the address of the second."""

    client: int
    server: int
    address: str


@contextmanager
def docker_overlay(archive: Path) -> Iterator[Pair]:
    """Two containers of the image of an OCI archive on an overlay network of Docker's.

    Raises:
        RuntimeError: Docker refused something, as the text says.
    """
    with ExitStack() as stack:
        first, second = (_host(stack, number, archive) for number in (1, 2))
        first.docker("swarm", "init", "--advertise-addr", _address(1))
        stack.callback(first.docker, "swarm", "leave", "--force")
        token = first.docker("swarm", "join-token", "--quiet", "worker").strip()
        second.docker("swarm", "join", "--token", token, "--advertise-addr", _address(2), f"{_address(1)}:2377")
        stack.callback(second.docker, "swarm", "leave", "--force")
        first.docker("network", "create", "--driver", "overlay", "--attachable", NETWORK)
        (client, _), (server, address) = (_container(stack, made) for made in (first, second))
        yield Pair(client, server, address)


def _address(number: int) -> str:
    return f"172.31.77.{number}"


def _host(stack: ExitStack, number: int, archive: Path) -> Swarm:
    """A namespace on the bridge, with a daemon that has the image."""
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-docker-"))
    namespace = f"shoaldo{os.getpid()}n{number}"
    bridge = f"shoaldo{os.getpid()}br"
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    stack.callback(os.close, here)
    if number == 1:
        _ip(stack, here, bridge, f"-n {bridge} link add br0 type bridge", f"-n {bridge} link set br0 up")
    _ip(
        stack,
        here,
        namespace,
        f"-n {namespace} link set lo up",
        f"-n {namespace} link add eth0 type veth peer name u{number} netns {bridge}",
        f"-n {namespace} addr add {_address(number)}/24 dev eth0",
        f"-n {namespace} link set eth0 up",
        f"-n {bridge} link set u{number} master br0 up",
    )
    root = Path(directory)
    stack.callback(clean, root)
    stack.enter_context(daemon(namespace, dockerd(root), root / "dockerd.log"))
    made = Swarm(root / "docker.sock")
    wait_until(lambda: answers(made), READY_SECONDS)
    bring(made, archive)
    return made


def _ip(stack: ExitStack, here: int, namespace: str, *lines: str) -> None:
    """Make a namespace and run these commands of ip(8)."""
    run(here, "ip", "netns", "add", namespace)
    stack.callback(run, here, "ip", "netns", "del", namespace)
    for line in lines:
        run(here, "ip", *line.split())


def _container(stack: ExitStack, made: Swarm) -> tuple[int, str]:
    identifier = made.docker("run", "--detach", "--network", NETWORK, IMAGE).strip()
    stack.callback(made.docker, "rm", "--force", identifier)
    pid, address = made.docker(
        *("inspect", "--format", "{{.State.Pid}} {{.NetworkSettings.Networks." + NETWORK + ".IPAddress}}"), identifier
    ).split()
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    stack.callback(os.close, descriptor)
    return descriptor, address
