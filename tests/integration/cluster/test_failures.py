"""What fails, and what goes on all the same."""

from cli.playground import fabric
from tests.integration.cluster.harness import Cluster

HELLO = "registry:5000/hello"


def test_containers_outlive_the_agent(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--mode", "global", f"{HELLO}:1")
    before = clean.pids("web")
    host = clean.layout.host(1)
    clean.playground.stop_agent(host, kill=True)
    clean.playground.start_agent(host)
    clean.playground.wait_for_nodes(3)
    clean.shoal("service", "update", "--label-add", "a=b", "web")
    assert clean.pids("web") == before
    clean.shoal("service", "rm", "web")


def test_a_failed_task_is_replaced(clean: Cluster) -> None:
    import os
    import signal

    clean.shoal("service", "create", "--name", "web", "--restart-delay", "100ms", f"{HELLO}:1")
    ((task, pid),) = clean.pids("web").items()
    os.kill(pid, signal.SIGKILL)
    clean.until(
        lambda: [row for row in clean.tasks("web") if row["id"] != task and row["state"] == "running"], "a new task"
    )
    (ended,) = [row for row in clean.json("service", "ps", "web") if row["id"] == task]
    assert ended["exit_code"] == 137


def test_nothing_is_lost_when_the_manager_is_killed(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--replicas", "3", f"{HELLO}:1")
    before = clean.pids("web")
    clean.playground.stop_manager(kill=True)
    clean.playground.start_manager()
    clean.playground.wait_for_nodes(3)
    clean.shoal("service", "scale", "web=5")
    after = clean.pids("web")
    assert before.items() <= after.items()
    assert len(after) == 5


def test_a_lost_node_is_down_and_its_tasks_run_elsewhere(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--replicas", "3", f"{HELLO}:1")
    host = clean.layout.host(3)
    fabric.cut(clean.layout, host, connected=False)
    clean.until(
        lambda: {row["hostname"]: row["status"] for row in clean.json("node", "ls")}["h3"] == "down",
        "the node to be down",
    )
    clean.until(
        lambda: (
            sorted(row["node"] for row in clean.tasks("web") if row["state"] == "running")
            in (["h1", "h1", "h2"], ["h1", "h2", "h2"])
        ),
        "three tasks on the nodes that are left",
    )
    fabric.cut(clean.layout, host, connected=True)
    clean.playground.wait_for_nodes(3)
    lost = [row for row in clean.json("service", "ps", "web") if row["node"] == "h3"]
    clean.until(
        lambda: all(
            row["state"] == "shutdown" for row in clean.json("service", "ps", "web") if row["id"] == lost[0]["id"]
        ),
        "the lost node's task to be stopped",
    )


def test_drain_and_back(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--replicas", "3", f"{HELLO}:1")
    clean.shoal("node", "update", "--availability", "drain", "h1")
    clean.until(
        lambda: len([row for row in clean.tasks("web") if row["state"] == "running" and row["node"] != "h1"]) == 3,
        "all tasks elsewhere",
    )
    clean.shoal("node", "update", "--availability", "active", "h1")
