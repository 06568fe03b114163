"""The majority of the managers is lost and comes back: what runs goes on, and afterwards nothing is double."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from tests.integration.cluster.conftest import IMAGES
from tests.integration.cluster.harness import RUN_ROOT, Cluster, inside
from tests.integration.cluster.subnets import free_subnet

HELLO = "registry:5000/hello:1"
MANAGERS = 2
"""The loss of either is that of the majority."""
CHANGE_SECONDS = 5.0


@pytest.fixture(scope="module")
def two_managers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("majority")
    layout = Layout(
        name=f"j{os.getpid() % 1_000_000}",
        hosts=2,
        managers=MANAGERS,
        subnet=free_subnet(),
        state_root=root / "state",
        run_root=RUN_ROOT,
    )
    playground = Playground(layout, contexts=ContextStore(root / "config"), report=print)
    playground.up()
    made = Cluster(playground, root / "config")
    try:
        made.shoal("image", "push", "--quiet", str(IMAGES / "hello-1.tar"), HELLO)
        yield made
    finally:
        playground.down()


def kill_manager(cluster: Cluster, name: str) -> None:
    """And with it its etcd."""
    pid = cluster.playground.pid(name)
    etcd = int(subprocess.check_output(["pgrep", "-P", str(pid), "-x", "etcd"], text=True))
    for each in (pid, etcd):
        os.kill(each, signal.SIGKILL)


def warns(cluster: Cluster) -> bool:
    return "disconnected from etcd since" in cluster.run("service", "ls").stderr


def all_pids(cluster: Cluster) -> dict[str, int]:
    return cluster.pids("web") | cluster.pids("client")


def reaches(pid: int, addresses: set[str]) -> bool:
    """Whether a container finds exactly these tasks by name, and reaches each."""
    _, _, answer = inside(pid, "busybox", "nslookup", "tasks.web").stdout.partition("Name:")
    found = {line.split()[1] for line in answer.splitlines() if line.startswith("Address")}
    return found == addresses and all(
        inside(pid, "busybox", "ping", "-c1", "-W1", address).returncode == 0 for address in addresses
    )


def test_what_runs_goes_on_and_nothing_is_double_afterwards(two_managers: Cluster) -> None:
    cluster = two_managers
    cluster.shoal("network", "create", "--internal", "front")
    cluster.shoal("service", "create", "--name", "web", "--replicas", "3", "--network", "front", HELLO)
    cluster.shoal("service", "create", "--name", "client", "--mode", "global", "--network", "front", HELLO)
    cluster.shoal("service", "create", "--name", "bounded", "--stop-on-disconnect", "2s", HELLO)
    cluster.shoal("run", "-d", "--name", "own", HELLO)
    before, (bounded,) = all_pids(cluster), cluster.pids("bounded").items()
    own = cluster.json("inspect", "own")[0]["task_status"]["pid"]
    addresses = {row["addresses"][0] for row in cluster.tasks("web")}
    clients = list(cluster.pids("client").values())

    kill_manager(cluster, "m2")
    cluster.until(lambda: not Path(f"/proc/{bounded[1]}").exists(), "the stop on its own node")
    cluster.until(partial(warns, cluster), "the manager says that it is disconnected")
    started = time.monotonic()
    refusal = cluster.refusal("service", "scale", "web=5")
    assert "nothing was changed: start the managers" in refusal and time.monotonic() - started < CHANGE_SECONDS
    # An agent that starts again meanwhile finds its containers, and its network works as before.
    host = cluster.layout.host(1)
    cluster.playground.stop_agent(host, kill=True)
    cluster.playground.start_agent(host)
    for pid in (*before.values(), own):
        assert Path(f"/proc/{pid}").exists(), "what runs goes on"
    for pid in clients:
        cluster.until(partial(reaches, pid, addresses), "names and networks go on")

    other = next(each for each in cluster.layout.other_managers() if each.name == "m2")
    cluster.playground.start_other_manager(other)
    cluster.until(lambda: cluster.run("service", "scale", "--detach", "web=4").returncode == 0, "a change is made")
    cluster.playground.wait_for_nodes(2)
    cluster.until(lambda: len(cluster.pids("web")) == 4, "the new task")
    cluster.until(lambda: cluster.pids("bounded").keys() - {bounded[0]}, "the successor")
    after = all_pids(cluster)
    assert after.items() >= before.items(), "no task was replaced"
    assert len(after) == len(before) + 1 and len(cluster.pids("bounded")) == 1
    assert cluster.json("inspect", "own")[0]["task_status"]["pid"] == own
    assert Path(f"/proc/{own}").exists() and not any(row.get("orphans") for row in cluster.json("node", "ls"))
