"""Containers that end while no manager can decide: their nodes restart them, and managers learn that afterwards."""

import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from cli.playground.layout import Layout, PlaygroundHost
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from tests.integration.cluster.conftest import IMAGES
from tests.integration.cluster.harness import RUN_ROOT, Cluster, container_process
from tests.integration.cluster.subnets import free_subnet

HELLO = "registry:5000/hello:1"


@pytest.fixture(scope="module")
def two_managers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("restarts")
    layout = Layout(
        name=f"q{os.getpid() % 1_000_000}",
        hosts=2,
        managers=2,
        subnet=free_subnet(),
        state_root=root / "state",
        run_root=RUN_ROOT,
    )
    playground = Playground(layout, contexts=ContextStore(root / "config"), report=print)
    playground.up()
    made = Cluster(playground, root / "config")
    try:
        made.shoal("image", "push", "--quiet", str(IMAGES / "hello-1.tar"), HELLO)
        made.shoal("network", "create", "front")
        options = ("--network", "front", "--restart-delay", "1s", "--publish", "target=80,published=8085")
        made.shoal("service", "create", "--name", "web", "--replicas", "2", *options, HELLO)
        made.shoal("service", "create", "--name", "done", "--restart-condition", "none", HELLO, "sleep", "100000")
        made.shoal("run", "-d", "--name", "own", "--restart", "always", HELLO, "sh", "-c", "echo run; sleep 100000")
        made.shoal("run", "-d", "--name", "plain", HELLO, "sleep", "100000")
        yield made
    finally:
        playground.down()


def own_task(cluster: Cluster, name: str) -> tuple[str, str, int]:
    """Id of a container's task, its node's name, and its process."""
    view = cluster.json("inspect", name)[0]
    return view["task"]["id"], view["node_hostname"], view["task_status"]["pid"]


def all_tasks(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """Hostname and process of each task, by id."""
    pids = cluster.pids("web") | cluster.pids("done")
    rows = [*cluster.tasks("web"), *cluster.tasks("done")]
    found = {row["id"]: (row["node"], pids[row["id"]]) for row in rows if row["id"] in pids}
    for name in ("own", "plain"):
        task, node, pid = own_task(cluster, name)
        found[task] = node, pid
    return found


def kill_all(tasks: dict[str, tuple[str, int]]) -> None:
    for _, pid in tasks.values():
        os.kill(pid, signal.SIGKILL)


def process(cluster: Cluster, task: str, node: str) -> int:
    return container_process(cluster.host_of(node), task)


def await_restarts(cluster: Cluster, tasks: dict[str, tuple[str, int]], restarted: list[str]) -> dict[str, int]:
    """Processes of the tasks that run again, by their hosts."""

    def again() -> dict[str, int] | None:
        pids = {task: process(cluster, task, tasks[task][0]) for task in restarted}
        return pids if all(pid not in (0, tasks[task][1]) for task, pid in pids.items()) else None

    found: dict[str, int] = cluster.until(again, "the nodes to restart what ended")
    return found


def await_reports(cluster: Cluster, count: int) -> None:
    """Until managers know of so many restarts of each of them."""

    def are_known() -> bool:
        rows = cluster.tasks("web")
        own = cluster.json("inspect", "own")[0]
        return all(row["node_restarts"] == count for row in rows) and own.get("restart_count") == count

    cluster.until(are_known, "the reports")


def check_records(cluster: Cluster, tasks: dict[str, tuple[str, int]], pids: dict[str, int], count: int) -> None:
    """Managers know the restarts, and have replaced nothing."""
    rows = {row["id"]: row for row in cluster.tasks("web")}
    assert rows.keys() <= pids.keys() and len(rows) == 2, "a task was replaced"
    for task, row in rows.items():
        assert (row["state"], row["node_restarts"]) == ("running", count)
        assert "restarted by its node" in row["reason"] and "killed by SIGKILL" in row["reason"]
        assert process(cluster, task, row["node"]) == pids[task] == cluster.pids("web")[task]
    own = cluster.json("inspect", "own")[0]
    assert own["task"]["id"] in pids and own["task_status"]["pid"] == pids[own["task"]["id"]]
    assert own["restart_count"] == count


def container_states(cluster: Cluster) -> list[str]:
    return cluster.quick("ps", "--all", "--format", "{{.Names}} {{.State}}").splitlines()


def web_and_own(cluster: Cluster) -> list[str]:
    """Ids of the tasks that are to be restarted."""
    return [*cluster.pids("web"), own_task(cluster, "own")[0]]


def kill_manager(cluster: Cluster, name: str) -> None:
    """And with it its etcd."""
    pid = cluster.playground.pid(name)
    etcd = int(subprocess.check_output(["pgrep", "-P", str(pid), "-x", "etcd"], text=True))
    for each in (pid, etcd):
        os.kill(each, signal.SIGKILL)


def failed_sessions(cluster: Cluster) -> list[int]:
    """How often each node has lost a manager, or not reached one."""
    return [cluster.layout.host(each).log.read_text().count("cannot connect to manager") for each in (1, 2)]


def await_loss(cluster: Cluster, before: list[int]) -> None:
    """Until both nodes have noticed: before, they would send an end, and not know whether it was stored."""

    def have_noticed() -> bool:
        return all(now > then for now, then in zip(failed_sessions(cluster), before, strict=True))

    cluster.until(have_noticed, "both nodes to notice that managers are away")


def answers(cluster: Cluster) -> bool:
    """Whether the service answers on its published port, by any node."""
    host = cluster.layout.host(1)
    command = ["nsenter", f"--net=/run/netns/{host.namespace}", "wget", "-qO-", "-T3", f"http://{host.address}:8085/"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def restart_agent(cluster: Cluster, host: PlaygroundHost) -> None:
    cluster.playground.stop_agent(host, kill=True)
    cluster.playground.start_agent(host)


def bring_back(cluster: Cluster) -> None:
    """The other manager."""
    other = next(each for each in cluster.layout.other_managers() if each.name == "m2")
    cluster.playground.start_other_manager(other)
    cluster.playground.wait_for_nodes(2)


def test_what_ends_without_a_majority_runs_again_and_nothing_is_double(two_managers: Cluster) -> None:
    cluster = two_managers
    tasks = all_tasks(cluster)
    restarted, ended = web_and_own(cluster), own_task(cluster, "plain")[0]
    (failed,) = cluster.pids("done")
    before = failed_sessions(cluster)
    kill_manager(cluster, "m2")
    cluster.until(lambda: "disconnected from etcd since" in cluster.run("service", "ls").stderr, "the loss")
    await_loss(cluster, before)
    kill_all(tasks)
    pids = await_restarts(cluster, tasks, restarted)
    cluster.until(partial(answers, cluster), "the service to answer without a majority")
    for task in (ended, failed):
        what = f"what its policy starts no more to be away: {task}, {tasks[task]}"
        cluster.until(lambda task=task: not process(cluster, task, tasks[task][0]), what)  # type: ignore[misc]
    # The agent that starts again meanwhile has one container each, and no further restart.
    restart_agent(cluster, cluster.layout.host(1))
    bring_back(cluster)
    await_reports(cluster, 1)
    check_records(cluster, tasks, pids, 1)
    cluster.until(lambda: "plain exited" in container_states(cluster), "the end of what is not restarted")
    assert "own running" in container_states(cluster)
    cluster.until(
        lambda: [row["state"] for row in cluster.json("service", "ps", "done")] == ["failed"], "the end of the task"
    )
    lines = cluster.quick("logs", "own").splitlines()
    assert lines == ["run", "run"], "the log has both runs"


def test_what_ends_while_no_manager_runs_is_restarted_also_by_an_agent_that_starts_then(two_managers: Cluster) -> None:
    cluster = two_managers
    every = all_tasks(cluster)
    tasks = {task: every[task] for task in web_and_own(cluster)}
    before = failed_sessions(cluster)
    for name in ("manager", "m2"):
        kill_manager(cluster, name)
    await_loss(cluster, before)
    host = cluster.layout.host(1)
    cluster.playground.stop_agent(host, kill=True)
    kill_all(tasks)
    cluster.playground.start_agent(host)
    pids = await_restarts(cluster, tasks, list(tasks))
    cluster.playground.start_manager()
    bring_back(cluster)
    await_reports(cluster, 2)
    check_records(cluster, tasks, pids, 2)
