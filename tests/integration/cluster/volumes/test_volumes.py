"""Volumes: data that outlives containers, on the node where it lies."""

import os
import signal
from pathlib import Path

import pytest

from cli.playground import virtual_network
from tests.integration.cluster.harness import Cluster, data_directories, inside

HELLO = "registry:5000/hello"


@pytest.fixture
def volumes(clean: Cluster) -> Cluster:
    """The cluster; volumes are removed after the test, and nothing of them stays on a disk."""
    return clean


def write(pid: int, path: str, text: str) -> None:
    done = inside(pid, "/bin/sh", "-c", f"echo {text} > {path}")
    assert done.returncode == 0, done.stderr


def read(pid: int, path: str) -> str:
    return inside(pid, "/bin/cat", path).stdout.strip()


def slots(cluster: Cluster, service: str) -> dict[str, tuple[str, int]]:
    """Node and process id of each running task, by the service's name and slot."""
    pids = cluster.pids(service)
    rows = [row for row in cluster.tasks(service) if row["state"] == "running"]
    return {row["name"]: (row["node"], pids[row["id"]]) for row in rows if row["id"] in pids}


def test_a_slot_keeps_its_data_and_its_node(volumes: Cluster) -> None:
    volumes.shoal(
        *("service", "create", "--name", "db", "--replicas", "3", "--restart-delay", "100ms"),
        *("--mount", "type=volume,source=data-{{.Task.Slot}},target=/data", f"{HELLO}:1"),
    )
    before = slots(volumes, "db")
    for name, (_, pid) in before.items():
        write(pid, "/data/who", name)
    os.kill(before["db.2"][1], signal.SIGKILL)
    volumes.until(lambda: len(now := slots(volumes, "db")) == 3 and now["db.2"] != before["db.2"], "a new task")
    volumes.shoal("service", "update", "--force", "db")
    after = slots(volumes, "db")
    assert {name: node for name, (node, _) in after.items()} == {name: node for name, (node, _) in before.items()}
    assert {name: read(pid, "/data/who") for name, (_, pid) in after.items()} == {name: name for name in after}
    (row,) = volumes.json("volume", "ls")
    assert row["nodes"].count("slot") == 3 and row["services"] == "db"


def test_a_slot_waits_for_its_node(volumes: Cluster) -> None:
    volumes.shoal(
        *("service", "create", "--name", "db", "--restart-delay", "100ms", "--constraint", "node.hostname != h1"),
        *("--mount", "source=data,target=/data,per-slot=true", f"{HELLO}:1"),
    )
    ((node, pid),) = slots(volumes, "db").values()
    write(pid, "/data/who", "me")
    virtual_network.set_link_state(volumes.layout, volumes.host_of(node), connected=False)
    (row,) = volumes.until(
        lambda: [row for row in volumes.tasks("db") if "for volume data" in row["reason"]], "the slot to wait"
    )
    assert row["state"] == "pending" and f"on node {node}, which is down; it starts when" in row["reason"]
    virtual_network.set_link_state(volumes.layout, volumes.host_of(node), connected=True)
    volumes.until(lambda: [row for row in volumes.tasks("db") if row["state"] == "running"], "the slot to run again")
    ((again, pid),) = slots(volumes, "db").values()
    assert again == node and read(pid, "/data/who") == "me"


def test_after_the_hold_it_moves_with_an_empty_volume(volumes: Cluster) -> None:
    volumes.shoal(
        *("service", "create", "--name", "db", "--restart-delay", "100ms"),
        *("--mount", "source=data,target=/data,per-slot=true,failover-after=1s", f"{HELLO}:1"),
    )
    ((node, pid),) = slots(volumes, "db").values()
    write(pid, "/data/who", "me")
    virtual_network.set_link_state(volumes.layout, volumes.host_of(node), connected=False)
    volumes.until(
        lambda: [row for row in volumes.tasks("db") if row["state"] == "running" and row["node"] != node],
        "the slot elsewhere",
    )
    ((_, pid),) = slots(volumes, "db").values()
    assert inside(pid, "/bin/ls", "/data").stdout == ""


def test_filled_from_the_image_subpaths_and_read_only(volumes: Cluster) -> None:
    only = ("--constraint", "node.hostname == h1")
    volumes.shoal("volume", "create", "--label", "team=web", "content")
    volumes.shoal(
        *("service", "create", "--name", "web", *only, "--mount", "source=content,target=/www", f"{HELLO}:1"),
    )
    (pid,) = volumes.pids("web").values()
    listed = inside(pid, "/bin/ls", "/www").stdout.split()
    assert listed, "an empty volume takes what the image has there"
    inside(pid, "/bin/mkdir", "/www/sub")
    write(pid, "/www/sub/one", "inner")
    volumes.shoal(
        *("service", "create", "--name", "reader", *only),
        *("--mount", "source=content,target=/in,readonly,volume-subpath=sub", f"{HELLO}:1"),
    )
    (pid,) = volumes.pids("reader").values()
    assert read(pid, "/in/one") == "inner"
    assert inside(pid, "/bin/touch", "/in/two").returncode != 0
    volumes.shoal(
        *("service", "create", "-d", "--name", "lost", *only, "--restart-condition", "none"),
        *("--mount", "source=content,target=/in,volume-subpath=nowhere", f"{HELLO}:1"),
    )
    warnings = volumes.until(
        lambda: [row["reason"] for row in volumes.json("service", "ps", "lost") if row["state"] == "rejected"], "it"
    )
    assert "'nowhere' is not a directory in the volume" in warnings[0]


def test_prune_keeps_what_is_used(volumes: Cluster) -> None:
    volumes.shoal("volume", "create", "unused")
    volumes.shoal("service", "create", "--name", "web", "--mount", "source=data,target=/data", f"{HELLO}:1")
    volumes.shoal("service", "create", "--name", "old", "--mount", "source=older,target=/data", f"{HELLO}:1")
    (pid,) = volumes.pids("web").values()
    write(pid, "/data/who", "me")
    volumes.shoal("service", "rm", "old")
    pruned = volumes.run("volume", "prune", "--force")
    assert pruned.stdout.split() == ["older", "unused"] and "2 volumes removed" in pruned.stderr
    volumes.until(lambda: [row["name"] for row in volumes.json("volume", "ls")] == ["data"], "the others to be gone")
    assert len(data_directories(volumes)) == 1 and read(pid, "/data/who") == "me"
    refused = volumes.run("volume", "rm", "data")
    assert refused.returncode == 1 and "in use by web" in refused.stderr


def test_options_are_mounted_or_reported(volumes: Cluster, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "there").write_text("on the host")
    volumes.shoal("volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", f"device={tmp_path}", "host")
    volumes.shoal("volume", "create", "--opt", "type=tmpfs", "--opt", "o=size=64k", "--opt", "device=tmpfs", "memory")
    volumes.shoal(
        *("service", "create", "--name", "web", "--mount", "source=host,target=/in,readonly"),
        *("--mount", "source=memory,target=/m", f"{HELLO}:1"),
    )
    (pid,) = volumes.pids("web").values()
    assert read(pid, "/in/there") == "on the host"
    assert (
        " /m " in Path(f"/proc/{pid}/mountinfo").read_text() and "size=64k" in Path(f"/proc/{pid}/mounts").read_text()
    )
    assert str(tmp_path) not in [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    refused = volumes.run("volume", "create", "--driver", "rexray", "far")
    assert refused.returncode == 2 and 'driver "rexray" not found on any node' in refused.stderr


def test_volumes_of_a_stack_outlive_it(volumes: Cluster, tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(
        f"services:\n  db:\n    image: {HELLO}:1\n    volumes: ['data:/data']\n"
        "    deploy: {placement: {constraints: ['node.hostname == h2']}}\nvolumes:\n  data: {labels: {a: b}}\n"
    )
    deploy = ("stack", "deploy", "-c", str(tmp_path / "stack.yaml"), "shop")
    assert "volume shop_data (create)" in volumes.shoal(*deploy)
    (pid,) = volumes.pids("shop_db").values()
    write(pid, "/data/who", "me")
    volumes.shoal("stack", "rm", "shop")
    assert [row["name"] for row in volumes.json("volume", "ls")] == ["shop_data"]
    volumes.shoal(*deploy)
    (pid,) = volumes.pids("shop_db").values()
    assert read(pid, "/data/who") == "me"
    volumes.shoal("stack", "rm", "shop")


def test_a_drain_says_what_it_waits_for_and_ends_by_its_deadline(volumes: Cluster) -> None:
    mount = ("--mount", "source=data,target=/data,per-slot=true")
    volumes.shoal("service", "create", "--name", "db", *mount, f"{HELLO}:1")
    ((node, _),) = slots(volumes, "db").values()
    volumes.shoal("node", "update", "--availability", "drain", node)
    try:

        def warnings() -> str:
            (row,) = [row for row in volumes.json("node", "ls") if row["hostname"] == node]
            return str(row["warnings"])

        volumes.until(lambda: "drain is waiting for db.1" in warnings(), "node ls to show it")
        (task,) = volumes.tasks("db")
        assert task["state"] == "running" and "not moved from its drained node yet: volume data" in task["reason"]
        events = volumes.shoal("events", "--since", "10m", "--until", "0s")
        assert f"task 1 stays on node {node}, which is drained" in events
        volumes.shoal("node", "update", "--availability", "drain", "--drain-deadline", "1h", node)
        volumes.until(lambda: "remaining tasks are stopped at" in warnings(), "node ls to show when it ends")
        volumes.shoal("node", "update", "--availability", "drain", "--drain-deadline", "1s", node)
        volumes.until(lambda: all(row["state"] != "running" for row in volumes.tasks("db")), "the deadline holds")
    finally:
        volumes.shoal("node", "update", "--availability", "active", node)
