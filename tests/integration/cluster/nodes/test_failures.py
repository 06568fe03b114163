"""What fails, and what goes on all the same."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from cli.playground import virtual_network
from tests.integration.cluster.agents import restart_agent, start_agent
from tests.integration.cluster.harness import Cluster

HELLO = "registry:5000/hello"


def test_containers_outlive_the_agent(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--mode", "global", f"{HELLO}:1")
    before = clean.pids("web")
    restart_agent(clean, clean.layout.host(1))
    clean.shoal("service", "update", "--label-add", "a=b", "web")
    assert clean.pids("web") == before
    clean.shoal("service", "rm", "web")


def test_a_node_whose_agent_restarts_keeps_its_tasks_and_gets_no_new_ones(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--mode", "global", f"{HELLO}:1")
    clean.shoal("service", "create", "--name", "more", "--replicas", "0", f"{HELLO}:1")
    before = clean.pids("web")
    stopped, killed = clean.layout.host(3), clean.layout.host(2)
    clean.playground.stop_agent(stopped)
    clean.until(lambda: states(clean)["h3"] == "restarting", "the stopped agent's node to be restarting")
    assert clean.shoal("node", "ls", "--quiet", "--filter", "status=restarting").count("\n") == 1
    # Longer than any other node is waited for: until one that is killed now is down.
    clean.playground.stop_agent(killed, kill=True)
    clean.until(lambda: states(clean)["h2"] == "down", "the killed agent's node to be down")
    clean.shoal("service", "scale", "more=3")
    assert {row["node"] for row in clean.tasks("more") if row["state"] == "running"} == {"h1"}
    assert states(clean)["h3"] == "restarting" and "the agent of node h3 is restarting" in refusal(clean, "web.h3")
    clean.playground.start_agent(stopped)
    clean.playground.start_agent(killed)
    clean.playground.wait_for_nodes(3)
    on_h3 = {row["id"] for row in clean.tasks("web") if row["node"] == "h3"}
    assert on_h3 and on_h3 <= before.keys(), "it was not replaced"
    assert clean.pids("web").items() >= {(task, before[task]) for task in on_h3}
    seen = clean.shoal("events", "--since", "10m", "--until", "0s", "--filter", "type=node", "--format", "json")
    assert '"restarting"' in seen


def states(cluster: Cluster) -> dict[str, str]:
    return {str(row["hostname"]): str(row["status"]) for row in cluster.json("node", "ls")}


def refusal(cluster: Cluster, task: str) -> str:
    done = cluster.run("exec", task, "true")
    assert done.returncode != 0
    return done.stderr


def test_a_failed_task_is_replaced(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--restart-delay", "100ms", f"{HELLO}:1")
    ((task, pid),) = clean.pids("web").items()
    os.kill(pid, signal.SIGKILL)
    clean.until(
        lambda: [row for row in clean.tasks("web") if row["id"] != task and row["state"] == "running"], "a new task"
    )
    (ended,) = [row for row in clean.json("service", "ps", "web") if row["id"] == task]
    assert ended["exit_code"] == 137


def test_a_task_whose_supervisor_was_killed_says_what_is_lost_and_is_replaced(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--restart-delay", "100ms", f"{HELLO}:1")
    ((task, pid),) = clean.pids("web").items()
    (parent,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("PPid:")]
    conmon = int(parent.split()[1])
    assert Path(f"/proc/{conmon}/comm").read_text() == "conmon\n"
    os.kill(conmon, signal.SIGKILL)
    clean.until(
        lambda: [row for row in clean.tasks("web") if row["id"] != task and row["state"] == "running"], "a new task"
    )
    (ended,) = [row for row in clean.json("service", "ps", "web") if row["id"] == task]
    assert ended["state"] == "failed"
    assert "conmon) was killed; output since then and the exit code are lost" in ended["reason"]


def test_what_a_full_disk_refused_starts_by_itself_once_there_is_room(clean: Cluster) -> None:
    """The disk of a node's images is a small tmpfs, which grows later; the node says meanwhile what to do."""
    host = clean.layout.host(1)
    images = str(host.state / "images")
    clean.playground.stop_agent(host, kill=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", images], check=True)
    try:
        start_agent(clean, host)
        clean.playground.wait_for_nodes(3)
        create = ["service", "create", "--detach", "--name", "web", "--constraint", "node.hostname == h1"]
        clean.shoal(*create, "--restart-max-attempts", "1", f"{HELLO}:1")

        def warned() -> bool:
            (node,) = [row for row in clean.json("node", "ls") if row["hostname"] == "h1"]
            output = clean.run("node", "ls")
            return "free disk space on the file system of" in f"{node}{output.stderr}"

        clean.until(warned, "the node to report its disk")
        task = await_lack_of_space(clean, "preparing")
        subprocess.run(["mount", "-o", "remount,size=1g", images], check=True)
        clean.until(lambda: [row for row in clean.tasks("web") if row["state"] == "running"], "the task to run")
        assert clean.tasks("web")[0]["id"] == task["id"]
        clean.until(lambda: not warned(), "the node's problem to be solved")
    finally:
        clean.shoal("service", "rm", "web")
        clean.playground.stop_agent(host, kill=True)
        subprocess.run(["umount", "-l", images], check=True)
        start_agent(clean, host)
        clean.playground.wait_for_nodes(3)


def await_lack_of_space(cluster: Cluster, state: str) -> dict[str, Any]:
    """The one task, once it waits in this state for its node's disk."""

    def waits() -> dict[str, Any] | None:
        (task,) = cluster.tasks("web")
        says = task["reason"].startswith("waiting for disk space: ")
        return task if says and task["state"] == state else None

    found: dict[str, Any] = cluster.until(waits, "the task to wait for disk space")
    return found


def fill(directory: str) -> list[Path]:
    """Files that leave a file system no inode."""
    made: list[Path] = []
    with contextlib.suppress(OSError):
        while True:
            path = Path(directory) / f"filler-{len(made)}"
            path.touch()
            made.append(path)
    return made


def test_a_container_that_a_full_disk_refuses_starts_by_itself_and_uses_up_no_attempt(clean: Cluster) -> None:
    """The image is there; the disk of containers is a small tmpfs that others have filled."""
    host = clean.layout.host(1)
    create = ["service", "create", "--detach", "--constraint", "node.hostname == h1", "--restart-max-attempts", "1"]
    clean.shoal(*create, "--name", "warm", f"{HELLO}:1")
    clean.until(lambda: [row for row in clean.tasks("warm") if row["state"] == "running"], "the image to be there")
    clean.shoal("service", "scale", "warm=0")
    clean.until(lambda: not list(host.state.glob("runtime/upper/*/*")), "the container to be gone")
    clean.playground.stop_agent(host, kill=True)
    runtime = str(host.state / "runtime")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=400", "tmpfs", runtime], check=True)
    try:
        start_agent(clean, host)
        clean.playground.wait_for_nodes(3)
        filler = fill(runtime)
        clean.shoal(*create, "--name", "web", f"{HELLO}:1")

        def output() -> str:
            (node,) = [row for row in clean.json("node", "ls") if row["hostname"] == "h1"]
            return f"{node}{clean.run('node', 'ls').stderr}"

        clean.until(lambda: "free disk space on the file system of" in output(), "the node to report its disk")
        task = await_lack_of_space(clean, "starting")
        for path in filler:
            path.unlink()
        clean.until(lambda: [row for row in clean.tasks("web") if row["state"] == "running"], "the task to run")
        assert [row["id"] for row in clean.tasks("web")] == [task["id"]]
        clean.until(lambda: "free disk space" not in output(), "the node's problem to be solved")
    finally:
        clean.shoal("service", "rm", "web", "warm")
        clean.playground.stop_agent(host, kill=True)
        subprocess.run(["umount", "-l", runtime], check=True)
        start_agent(clean, host)
        clean.playground.wait_for_nodes(3)


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
    virtual_network.set_link_state(clean.layout, host, connected=False)
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
    virtual_network.set_link_state(clean.layout, host, connected=True)
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
