"""A cluster whose machines reach each other by IPv6 alone."""

import os
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from cli.playground import daemons, virtual_network
from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from tests.integration.cluster.conftest import IMAGES
from tests.integration.cluster.harness import RUN_ROOT, Cluster
from tests.integration.cluster.services.test_service_lifecycle import HELLO, fetch
from tests.integration.cluster.subnets import beside, free_subnet


@pytest.fixture(scope="module")
def over_ipv6(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("cluster6")
    layout = Layout(
        name=f"v{os.getpid() % 1_000_000}",
        hosts=2,
        subnet=beside(free_subnet()),
        state_root=root / "state",
        run_root=RUN_ROOT,
        ipv6=True,
    )
    playground = Playground(layout, contexts=ContextStore(root / "config"), report=print)
    playground.up()
    made = Cluster(playground, root / "config")
    try:
        made.shoal("image", "push", "--quiet", str(IMAGES / "hello-1.tar"), "registry:5000/hello:1")
        yield made
    finally:
        playground.down()
    assert not virtual_network.playground_namespaces(layout)


def answers(address: str) -> bool:
    try:
        return bool(fetch(address))
    except OSError:
        return False


def test_the_whole_of_it_by_ipv6(over_ipv6: Cluster) -> None:
    assert over_ipv6.layout.api.startswith("[fd")
    nodes = over_ipv6.json("node", "ls")
    assert {row["hostname"] for row in nodes} == {"h1", "h2"}
    over_ipv6.shoal("network", "create", "--ipv6", "dual")
    over_ipv6.shoal(
        "service", "create", "--name", "web", "--replicas", "2", "--network", "dual", "--publish", "8186:80",
        f"{HELLO}:1",
    )  # fmt: skip
    for host in over_ipv6.layout.all_hosts():
        for address in (f"[{over_ipv6.layout.address6(host.address)}]", host.address):
            over_ipv6.until(partial(answers, f"{address}:8186"), f"an answer of {host.name} at {address}")
    checked = over_ipv6.run("network", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "1430" in checked.stdout
    assert over_ipv6.shoal("service", "logs", "web") is not None  # by the agents' own servers


def test_a_node_of_the_other_family_is_refused_by_name(over_ipv6: Cluster) -> None:
    layout = over_ipv6.layout
    host = layout.host(3)
    virtual_network.add_host(layout, host)
    for directory in (host.state, host.run):
        directory.mkdir(parents=True)
    command = [
        "ip", "netns", "exec", host.namespace, daemons.BIN / "shoal-agent", "run",
        "--state-directory", host.state, "--run-directory", host.run, "--hostname", host.name,
        "--join", layout.join, "--token-file", layout.state / "token", "--advertise-address", str(host.address),
    ]  # fmt: skip
    with host.log.open("w") as log, subprocess.Popen([str(each) for each in command], stdout=log, stderr=log) as agent:
        try:
            message = "all nodes need addresses of the same IP version"
            over_ipv6.until(lambda: message in host.log.read_text(), "the refusal in the agent's log")
        finally:
            agent.terminate()
            agent.wait(30)
            subprocess.run(["umount", host.run], check=False)
    assert all(row["state"] != "ready" for row in over_ipv6.json("node", "ls") if row["hostname"] == "h3")
