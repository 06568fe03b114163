"""`network_mode: service:` on a cluster: two containers on one loopback, wherever the one goes."""

import os
import signal
from pathlib import Path

from tests.integration.cluster.agents import restart_agent
from tests.integration.cluster.harness import Cluster

STACK = """
services:
  db:
    image: registry:5000/hello:1
    hostname: main
    command:
      - sh
      - -c
      - mkdir /own; hostname > /own/index.html; trap 'exit 0' TERM; httpd -f -p 127.0.0.1:7000 -h /own & wait
    deploy: {replicas: 2, restart_policy: {delay: 0s}}
  web:
    image: registry:5000/hello:1
    network_mode: service:db
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:80/"], interval: 1s}
    deploy: {replicas: 2, restart_policy: {delay: 0s}}
"""
PAGE = ("wget", "-q", "-O", "-", "http://127.0.0.1:7000/index.html")


def pairs(cluster: Cluster) -> dict[int, tuple[str, str, str]]:
    """By slot: the tasks of both services, if the one shares the network of the other, and their node."""
    own = {row["id"]: row for row in cluster.tasks("shop_db") if row["current"].startswith("running")}
    found = {}
    for row in cluster.tasks("shop_web"):
        task = cluster.inspect(row["id"])
        if row["current"].startswith("running") and (other := own.get(task["task"].get("network_task_id", ""))):
            assert row["node"] == other["node"]
            found[task["task"]["slot"]] = other["id"], row["id"], row["node"]
    return found


def namespace(cluster: Cluster, task: str) -> str:
    return str(Path(f"/proc/{cluster.inspect(task)['status']['pid']}/ns/net").readlink())


def test_they_share_a_network_and_stay_together(clean: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(STACK)
    clean.shoal("stack", "deploy", "-c", str(path), "shop")
    before = pairs(clean)
    assert before.keys() == {1, 2}
    for db, web, _ in before.values():
        assert namespace(clean, db) == namespace(clean, web)
        assert clean.shoal("exec", web, *PAGE) == clean.shoal("exec", db, *PAGE)
        for file in ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname"):
            assert clean.shoal("exec", web, "cat", file) == clean.shoal("exec", db, "cat", file)
        assert clean.shoal("exec", web, "hostname") == "main\n"
    assert "hello" in clean.shoal("service", "logs", "shop_web")
    assert clean.json("stats", "--no-stream", "shop_web")

    # The one dies: the other is replaced with it, on a loopback on which both are.
    db, web, _ = before[1]
    os.kill(clean.inspect(db)["status"]["pid"], signal.SIGKILL)
    after = clean.until(lambda: len(found := pairs(clean)) == 2 and found[1][0] != db and found, "another pair")
    assert after[1][1] != web and after[2] == before[2]
    clean.until(lambda: clean.run("exec", after[1][1], *PAGE).returncode == 0, "the page on the new loopback")

    # A node is drained: both go.
    node = after[2][2]
    clean.shoal("node", "update", "--availability", "drain", node)
    moved = clean.until(
        lambda: len(found := pairs(clean)) == 2 and all(each[2] != node for each in found.values()) and found,
        "both elsewhere",
    )
    clean.shoal("node", "update", "--availability", "active", node)
    assert all(namespace(clean, one) == namespace(clean, other) for one, other, _ in moved.values())

    # The surplus waits, and says for what.
    clean.shoal("service", "scale", "--detach", "shop_web=3")
    message = "waiting for task shop_db.3 of service shop_db, which does not exist: the service has 2 replicas"
    clean.until(lambda: any(message in row["current"] + str(row) for row in clean.tasks("shop_web")), message)
    clean.shoal("service", "scale", "shop_db=3")
    clean.until(lambda: pairs(clean).keys() == {1, 2, 3}, "three pairs")

    # Each alone: an update of the one that shares replaces it only.
    settled = pairs(clean)
    clean.shoal("service", "update", "--env-add", "A=1", "shop_web")
    updated = pairs(clean)
    assert {slot: each[0] for slot, each in updated.items()} == {slot: each[0] for slot, each in settled.items()}
    assert all(updated[slot][1] != settled[slot][1] for slot in updated)

    refused = clean.run("service", "rm", "shop_db")
    assert refused.returncode != 0
    assert 'the network of service "shop_db" is shared by service "shop_web"' in refused.stderr
    clean.shoal("stack", "rm", "shop")
    clean.until(lambda: not clean.json("service", "ls"), "nothing left")


def test_agents_that_restart_keep_both_and_the_command_line_has_it_too(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "db", "registry:5000/hello:1")
    clean.shoal(
        "service", "create", "--name", "tool", "--network", "service:db", "--env", "PORT=81", "registry:5000/hello:1"
    )
    (db,), (tool,) = clean.tasks("db"), clean.tasks("tool")
    host = clean.host_of(db["node"])
    restart_agent(clean, host)
    assert namespace(clean, db["id"]) == namespace(clean, tool["id"])
    assert f"host: db-1-{db['id']}\n" in clean.shoal(
        "exec", tool["id"], "wget", "-q", "-O", "-", "http://127.0.0.1:80/"
    )
    clean.shoal("service", "update", "--force", "db")
    clean.until(
        lambda: [row["id"] for row in clean.tasks("tool")] != [tool["id"]], "another task with the other network"
    )
    conflict = clean.run("service", "update", "--hostname", "own", "tool")
    assert 'hostname cannot be combined with network "service:db"; configure it on service "db"' in conflict.stderr
    clean.shoal("service", "update", "--network-rm", "service:db", "tool")
    assert "network_task_id" not in clean.inspect(clean.tasks("tool")[0]["id"])["task"]
