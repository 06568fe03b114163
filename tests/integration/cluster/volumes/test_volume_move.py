"""`shoal volume move`: the data of a service with one task on another node, through the command line."""

import hashlib
import os
from pathlib import Path
from typing import Any

from tests.integration.cluster.harness import Cluster, data_directories, in_volumes
from tests.integration.cluster.volumes.test_volumes import HELLO, read, slots, volumes, write

__all__ = ["volumes"]


def running(cluster: Cluster, service: str) -> tuple[str, int]:
    """Node and process id of its one task."""
    found = cluster.until(lambda: list(slots(cluster, service).values()), f"{service} to run")
    return found[0]  # type: ignore[no-any-return]


def other_node(cluster: Cluster, node: str) -> str:
    return next(host.name for host in cluster.layout.all_hosts() if host.name != node)


def test_data_moves_and_its_task_follows(volumes: Cluster) -> None:
    volumes.shoal("service", "create", "--name", "db", "--mount", "source=data,target=/data", f"{HELLO}:1")
    node, pid = running(volumes, "db")
    write(pid, "/data/row", "precious")
    to = other_node(volumes, node)
    refused = volumes.run("volume", "move", "data", "--to", node)
    assert refused.returncode == 1 and f"is already on node {node}" in refused.stderr
    done = volumes.run("volume", "move", "data", "--to", to)
    assert done.returncode == 0, done.stderr
    assert f"volume data moved to node {to}" in done.stderr
    now, pid = running(volumes, "db")
    assert now == to and read(pid, "/data/row") == "precious"
    volumes.until(lambda: len(data_directories(volumes)) == 1, "the old copy to be deleted")
    (row,) = volumes.json("volume", "ls")
    assert row["nodes"] == to
    back = volumes.run("volume", "move", "data", "--to", node)
    assert back.returncode == 0, back.stderr
    now, pid = running(volumes, "db")
    assert now == node and read(pid, "/data/row") == "precious"


def test_a_drained_nodes_data_moves_and_the_task_with_it(volumes: Cluster) -> None:
    volumes.shoal("service", "create", "--name", "db", "--mount", "source=data,target=/data", f"{HELLO}:1")
    node, pid = running(volumes, "db")
    write(pid, "/data/row", "precious")
    to = other_node(volumes, node)
    volumes.shoal("node", "update", "--availability", "drain", node)
    try:
        done = volumes.run("volume", "move", "data", "--to", to)
        assert done.returncode == 0, done.stderr
        now, pid = running(volumes, "db")
        assert now == to and read(pid, "/data/row") == "precious"
    finally:
        volumes.shoal("node", "update", "--availability", "active", node)


def test_what_is_in_the_way_is_said_and_nothing_is_stopped(volumes: Cluster) -> None:
    volumes.shoal(
        "service", "create", "--name", "web", "--replicas", "2", "--mount", "source=data,target=/d", f"{HELLO}:1"
    )
    before = slots(volumes, "web")
    refused = volumes.run("volume", "move", "data", "--to", "h1")
    assert refused.returncode == 1 and "none of them is its home" in refused.stderr, refused.stderr
    assert "is not being moved" in volumes.run("volume", "move", "--cancel", "data").stderr
    assert "--to NODE" in volumes.run("volume", "move", "data").stderr
    assert slots(volumes, "web") == before


MIB = 1 << 20


def last_move(cluster: Cluster) -> dict[str, Any]:
    """How far the move is, or how it ended."""
    document = cluster.json("volume", "inspect", "data")[0]
    moves = document.get("status", {}).get("moves", [{}])
    return dict(moves[0])


def sums(data: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(data.iterdir())}


def test_agents_and_the_manager_are_killed_in_the_middle(volumes: Cluster) -> None:
    volumes.shoal("service", "create", "--name", "db", "--mount", "source=data,target=/data", f"{HELLO}:1")
    node, _ = running(volumes, "db")
    to = other_node(volumes, node)
    (data,) = data_directories(volumes)
    for number in range(24):
        (data / f"{number}").write_bytes(os.urandom(16 * MIB))
    before = sums(data)
    volumes.shoal("volume", "move", "-d", "data", "--to", to)
    (row,) = volumes.json("volume", "ls", "--filter", "moving=true")
    assert row["state"] == "moving" and (row["moves"][0]["from"], row["moves"][0]["to"]) == (node, to)
    listed = volumes.shoal("volume", "ls", "--format", "{{.State}} {{range .Moves}}{{.From}} {{.To}}{{end}}")
    assert listed.split() == ["moving", node, to]
    assert volumes.json("volume", "inspect", "data")[0]["moves"][0]["to_hostname"] == to
    for victim in (to, node):
        volumes.until(lambda: in_volumes(volumes, ".incoming/*/_data/*"), "some of it to be there")
        host = volumes.host_of(victim)
        volumes.playground.stop_agent(host, kill=True)
        volumes.playground.start_agent(host)
    volumes.playground.stop_manager(kill=True)
    volumes.playground.start_manager()
    volumes.playground.wait_for_nodes(3)
    volumes.until(lambda: last_move(volumes).get("state") == "DONE", "the move to be done", seconds=150)
    now, _ = running(volumes, "db")
    assert now == to
    volumes.until(lambda: len(data_directories(volumes)) == 1, "the old copy to be deleted")
    (data,) = data_directories(volumes)
    assert sums(data) == before
    output = volumes.shoal(
        "events", "--since", "1h", "--until", "0s", "--filter", "volume=data", "--format", "{{.Action}}"
    )
    actions = [action for action in output.split() if action.startswith("move-") and action != "move-waiting"]
    assert actions[:2] == ["move-started", "move-copying"] and actions[-1] == "move-done", actions
    assert "move-resumed" in actions
    assert volumes.json("volume", "ls", "--filter", "moving=true") == []


def test_a_cancelled_move_starts_the_task_where_the_data_was(volumes: Cluster) -> None:
    volumes.shoal("service", "create", "--name", "db", "--mount", "source=data,target=/data", f"{HELLO}:1")
    node, pid = running(volumes, "db")
    write(pid, "/data/row", "precious")
    (data,) = data_directories(volumes)
    with (data / "large").open("wb") as file:
        for _ in range(512):
            file.write(os.urandom(MIB))
    volumes.shoal("volume", "move", "-d", "data", "--to", other_node(volumes, node))
    cancelled = volumes.run("volume", "move", "--cancel", "data")
    assert cancelled.returncode == 0, cancelled.stderr
    now, pid = running(volumes, "db")
    assert now == node and read(pid, "/data/row") == "precious"
    volumes.until(lambda: not in_volumes(volumes, ".incoming/*"), "the copy to be deleted")
    volumes.until(lambda: data_directories(volumes) == [data], "one copy to be left")
