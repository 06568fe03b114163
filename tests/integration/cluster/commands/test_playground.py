"""The playground itself: begun from nothing, whatever is left of an earlier one."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.playground import daemons, virtual_network
from cli.playground.layout import Layout
from cli.playground.leftovers import agent_processes, leftovers
from cli.playground.lifecycle import Playground
from shoal.api.v1.control_pb2 import ListNetworksRequest, ListNodesRequest
from shoal.contexts.context_store import ContextStore
from shoal.errors import Refused, Unavailable
from tests.integration.cluster.harness import RUN_ROOT, Cluster
from tests.integration.cluster.restored_hosts import connections
from tests.integration.cluster.subnets import beside, free_subnet

IMAGES = Path(__file__).parents[4] / "build" / "images"
NAMES = [f"{letter}{os.getpid() % 1_000_000}" for letter in "ab"]


@pytest.fixture
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A playground of one host, which the test may end itself."""
    root = tmp_path_factory.mktemp("single")
    layout = Layout(f"s{os.getpid() % 1_000_000}", 1, beside(free_subnet()), root / "state", RUN_ROOT)
    playground = Playground(layout, contexts=ContextStore(root / "config"), report=print)
    playground.up()
    try:
        yield Cluster(playground, root / "config")
    finally:
        playground.down()


def _environment(config: Path) -> dict[str, str]:
    program = Path(sys.executable).parent
    return {**os.environ, "SHOAL_CONFIG": str(config), "SHOAL_VERIFY": "0", "PATH": f"{program}:{os.environ['PATH']}"}


def _shoal(config: Path, *arguments: str) -> str:
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        timeout=180,
        env=_environment(config),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def test_after_a_restart_of_the_machine_it_begins_from_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("again")
    layout = Layout(f"r{os.getpid() % 1_000_000}", 1, beside(free_subnet()), root / "state", RUN_ROOT)
    said: list[str] = []
    playground = Playground(layout, contexts=ContextStore(root / "config"), report=said.append)
    # Namespaces, links and processes went with the machine; what was on its disk did not.
    for left in (layout.manager_state / "etcd" / "member", layout.manager_state / "admin", layout.host(1).state):
        left.mkdir(parents=True)
        (left / "key.pem").write_text("of a cluster that is gone")
    try:
        playground.up()
        assert "removing what an earlier playground left behind" in said[0]
        with playground.client() as client:
            assert len(client.call(client.control.ListNodes, ListNodesRequest()).nodes) == 1
            assert not client.call(client.control.ListNetworks, ListNetworksRequest()).networks
        with pytest.raises(Refused, match="is already running"):
            playground.up()
    finally:
        playground.down()
    assert not layout.state.exists()


@pytest.mark.timeout(400)  # two playgrounds, one after the other, and a program for each command
def test_several_beside_each_other_and_their_hints_are_true(tmp_path: Path) -> None:
    up: list[str] = []
    try:
        for name in NAMES:
            up.append(name)
            assert "1 host is ready" in _shoal(tmp_path, "shoal", "playground", "up", "--hosts", "1", "--name", name)
        addresses = set()
        for name in NAMES:
            hints = _shoal(tmp_path, "shoal", "playground", "hints", "--name", name)
            assert f"shoal playground down --name {name}" in hints
            assert ("shoal context use" in hints) == (name == NAMES[0])  # the last one is the current one
            assert "curl" not in hints and "hello" not in hints  # nothing runs, and the registry is empty
            nodes = _shoal(tmp_path, "shoal", "--context", name, "node", "ls", "--format", "json")
            addresses.update(re.findall(r"198\.1[89]\.\d+\.11", nodes))
        assert len(addresses) == 2
        _what_is_hinted_works(tmp_path, NAMES[0])
    finally:
        said = [_shoal(tmp_path, "shoal", "playground", "down", "--name", name) for name in up]
    assert said == [f"playground {name} removed\n" for name in NAMES]
    assert "nothing to remove" in _shoal(tmp_path, "shoal", "playground", "down", "--name", NAMES[0])


def _what_is_hinted_works(config: Path, name: str) -> None:
    _shoal(config, "shoal", "context", "use", name)
    for version in "12":
        archive = str(IMAGES / f"hello-{version}.tar")
        _shoal(config, "shoal", "image", "push", "--quiet", archive, f"registry:5000/hello:{version}")
    _shoal(config, "shoal", "service", "create", "--name", "hello", "--publish", "8080:80", "registry:5000/hello:1")
    hints = _shoal(config, "shoal", "playground", "hints", "--name", name)
    commands = re.findall(r"^    (?:shoal|curl) .*", hints, re.MULTILINE)
    assert any("curl" in each for each in commands) and any("service create" in each for each in commands)
    for command in commands:
        words = shlex.split(command, comments=True)
        if words == ["shoal", "console"]:
            _console_opens(config)
        elif words[:3] != ["shoal", "playground", "down"]:
            _shoal(config, *(word for word in words if word != "-f"))


def _console_opens(config: Path) -> None:
    """It serves until it is interrupted."""
    command = ["shoal", "console", "--no-browser"]
    with subprocess.Popen(command, env=_environment(config), stdout=subprocess.PIPE, text=True) as console:
        assert console.stdout is not None
        assert "http://127.0.0.1:" in console.stdout.readline()
        console.send_signal(signal.SIGINT)
        assert console.wait(timeout=60) in (0, 130)


def test_down_after_an_agent_was_restarted_by_hand_leaves_nothing(single: Cluster) -> None:
    layout, playground = single.layout, single.playground
    single.shoal("image", "push", "--quiet", str(IMAGES / "hello-1.tar"), "registry:5000/hello:1")
    single.shoal("service", "create", "--name", "web", "--replicas", "2", "registry:5000/hello:1")
    containers = list(single.pids("web").values())
    host = layout.host(1)
    command = Path(f"/proc/{playground.pid('h1')}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    daemons.stop([playground.pid("h1")], grace_seconds=10)
    before = connections(host)
    by_hand = daemons.spawn(host.namespace, command, host.log)  # nobody writes its number down
    single.until(lambda: by_hand in agent_processes(host), "the agent")
    single.until(lambda: connections(host) > before, "the agent to connect")
    single.until(lambda: single.json("node", "inspect", "h1")[0]["status"]["state"] == "READY", "the node")
    playground.down()
    assert not leftovers(layout)
    assert not any(map(daemons.is_running, [by_hand, *containers]))


def test_down_reports_what_is_left_and_can_be_repeated(single: Cluster) -> None:
    layout = single.layout
    place = layout.state / "mine"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        with pytest.raises(Unavailable, match=f"was not fully removed; remaining: mount {place}"):
            single.playground.down()
    finally:
        subprocess.run(["umount", place], check=True)
    single.playground.down()
    assert not leftovers(layout) and not virtual_network.playground_namespaces(layout)


def test_a_subnet_that_another_one_has_is_refused(single: Cluster, tmp_path: Path) -> None:
    layout = Layout(f"o{os.getpid() % 1_000_000}", 1, single.layout.subnet, tmp_path / "state", RUN_ROOT)
    with pytest.raises(Refused, match="choose another subnet with --subnet"):
        Playground(layout, contexts=ContextStore(tmp_path / "config")).up()
    assert not leftovers(layout)
