"""`shoal cluster doctor` of a real cluster: all is well, a node whose agent hangs, and one that cannot be reached."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cli.playground.leftovers import agent_processes
from tests.integration.cluster.harness import Cluster

TOTAL_SECONDS = 20.0


def _checks(cluster: Cluster) -> dict[tuple[str, str], dict[str, Any]]:
    """By part and check. It ends in time, whatever hangs."""
    began = time.monotonic()
    done = cluster.run("cluster", "doctor", "--format", "json")
    assert time.monotonic() - began < TOTAL_SECONDS
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    assert done.returncode == int(any(row["result"] == "FAILED" for row in rows)), done.stderr
    return {(row["part"], row["check"]): row for row in rows}


@contextmanager
def _stopped(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_whole_cluster_has_no_failed_check(clean: Cluster) -> None:
    checks = _checks(clean)
    failed = {key: row["found"] for key, row in checks.items() if row["result"] == "FAILED"}
    assert not failed
    names = [each.name for each in clean.layout.all_hosts()]
    for name in names:
        of_node = {check for part, check in checks if part == f"node {name}"}
        assert {"state", "overlayfs", "namespaces", "cgroups", "vxlan", "nftables", "DNS", "clock", "MTU"} <= of_node
        assert {"disk state", "inodes state", "certificate node", "registry", "version"} <= of_node
        manager = next(check for check in of_node if check.startswith("port of manager"))
        assert "accepts connections" in checks[f"node {name}", manager]["found"]
        others = {f"port of node {other}" for other in names if other != name}
        assert others <= of_node
    of_cluster = {check for part, check in checks if part == "cluster"}
    assert {"leader", "managers", "versions", "underlay", "overlay"} <= of_cluster
    assert any(check.startswith("etcd size") for check in of_cluster)
    of_manager = {check for part, check in checks if part.startswith("manager ")}
    assert {f"port of node {name}" for name in names} | {"certificate CA", "disk state"} <= of_manager
    assert all(row["action"] for row in checks.values() if row["result"] != "OK")
    shown = clean.shoal("cluster", "doctor", "--all", "--format", "{{.Part}} {{.Check}} {{.Result}}")
    assert "cluster leader OK" in shown


def test_a_node_that_hangs_is_told_in_time(clean: Cluster) -> None:
    hosts = clean.layout.all_hosts()
    with _stopped(agent_processes(hosts[2])):
        checks = _checks(clean)
    failed = {key for key, row in checks.items() if row["result"] == "FAILED"}
    hung = f"node {hosts[2].name}"
    assert {(hung, "response"), (hung, "state")} & failed
    assert not {key for key in failed if key[0] in (f"node {hosts[0].name}", f"node {hosts[1].name}")}
