"""The main job, as the README shows it: create, scale, look, update, remove."""

import urllib.request
from collections import Counter

from tests.integration.cluster.harness import Cluster, inside

HELLO = "registry:5000/hello"


def fetch(address: str) -> str:
    """What an HTTP server answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}/", timeout=5) as answer:
        return str(answer.read().decode())


def test_nodes_are_ready(clean: Cluster) -> None:
    rows = clean.json("node", "ls")
    assert [(row["hostname"], row["status"], row["availability"]) for row in rows] == [
        (f"h{number}", "ready", "active") for number in (1, 2, 3)
    ]


def test_create_scale_update_remove(clean: Cluster) -> None:
    clean.shoal("network", "create", "front")
    created = clean.run(
        *("service", "create", "--name", "web", "--replicas", "3", "--network", "front"),
        *("--publish", "mode=host,target=80", "--limit-memory", "64M", "--limit-cpu", "0.5", f"{HELLO}:1"),
    )
    assert created.returncode == 0, created.stderr + clean.logs()
    assert "3/3 running" in created.stderr
    tasks = clean.tasks("web")
    assert Counter(task["node"] for task in tasks) == {"h1": 1, "h2": 1, "h3": 1}

    for task in tasks:
        host = clean.host_of(task["node"])
        published = task["ports"].partition("->")[0]
        assert "1" in fetch(f"{host.address}:{published}")

    assert clean.shoal("service", "scale", "web=9").startswith("web scaled to 9")
    assert Counter(task["node"] for task in clean.tasks("web")) == {"h1": 3, "h2": 3, "h3": 3}
    (row,) = clean.json("service", "ls")
    assert (row["name"], row["replicas"]) == ("web", "9/9")

    before = {task["id"] for task in clean.tasks("web")}
    clean.shoal("service", "scale", "web=4")
    after = {task["id"] for task in clean.tasks("web")}
    assert len(after) == 4
    assert after < before

    clean.shoal("service", "update", "--image", f"{HELLO}:2", "web")
    updated = clean.tasks("web")
    assert len(updated) == 4
    assert {task["image"] for task in updated} == {f"{HELLO}:2"}
    assert not after & {task["id"] for task in updated}

    document = clean.json("service", "inspect", "web")[0]
    assert document["spec"]["name"] == "web"
    clean.shoal("service", "rm", "web")
    assert clean.json("service", "ls") == []


def test_an_update_of_labels_or_replicas_restarts_nothing(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--replicas", "2", f"{HELLO}:1")
    before = clean.pids("web")
    clean.shoal("service", "update", "--label-add", "team=shop", "--replicas", "3", "web")
    after = clean.pids("web")
    assert before.items() <= after.items()
    assert len(after) == 3


def test_rollback(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", f"{HELLO}:1")
    clean.shoal("service", "update", "--image", f"{HELLO}:2", "web")
    clean.shoal("service", "rollback", "web")
    assert [task["image"] for task in clean.tasks("web")] == [f"{HELLO}:1"]


def test_a_global_service_has_a_task_on_each_node(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "everywhere", "--mode", "global", f"{HELLO}:1")
    assert Counter(task["node"] for task in clean.tasks("everywhere")) == {"h1": 1, "h2": 1, "h3": 1}


def test_logs_of_all_tasks(clean: Cluster) -> None:
    talk = "echo I have spoken; exec sleep 1000"
    clean.shoal("service", "create", "--name", "talker", "--replicas", "3", f"{HELLO}:1", "sh", "-c", talk)
    lines = clean.until(
        lambda: [line for line in clean.shoal("service", "logs", "talker").splitlines() if "I have spoken" in line],
        "logs",
    )
    assert lines
    assert all("talker." in line and "@h" in line for line in lines)


def test_constraints_and_pending_reasons(clean: Cluster) -> None:
    clean.shoal("node", "update", "--label-add", "disk=ssd", "h2")
    clean.shoal(
        *("service", "create", "--name", "fast", "--replicas", "2"),
        *("--constraint", "node.labels.disk == ssd", f"{HELLO}:1"),
    )
    assert {task["node"] for task in clean.tasks("fast")} == {"h2"}
    clean.shoal(
        "service", "create", "-d", "--name", "nowhere", "--constraint", "node.labels.disk == tape", f"{HELLO}:1"
    )
    (task,) = clean.until(
        lambda: [task for task in clean.tasks("nowhere") if task["state"] == "pending"], "a pending task"
    )
    assert "3 of 3" in task["reason"]
    assert "node.labels.disk == tape" in task["reason"]
    clean.shoal("node", "update", "--label-rm", "disk", "h2")


def test_stack(clean: Cluster) -> None:
    from pathlib import Path

    example = str(Path(__file__).parents[4] / "deploy" / "examples" / "web.yaml")
    clean.shoal("stack", "deploy", "-c", example, "shop")
    rows = clean.json("stack", "ps", "shop")
    assert Counter(row["name"].partition(".")[0] for row in rows) == {"shop_web": 3, "shop_api": 2}
    again = clean.shoal("stack", "deploy", "-c", example, "shop")
    assert "unchanged" in again
    assert "update" not in again
    pid = next(iter(clean.pids("shop_web").values()))
    answer = inside(pid, "/bin/wget", "-qO-", "http://api/")
    assert answer.returncode == 0, answer.stderr
    clean.shoal("stack", "rm", "shop")
    assert clean.run("stack", "ps", "shop").returncode == 1
