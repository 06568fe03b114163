"""What tasks use, and services that follow it."""

import json
import re

from tests.integration.cluster.harness import Cluster

HELLO = "registry:5000/hello:1"
BUSY = ("sh", "-c", "while :; do :; done")


def test_stats_of_a_busy_and_an_idle_task(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "busy", "--limit-cpu", "0.2", "--limit-memory", "32M", HELLO, *BUSY)
    clean.shoal("service", "create", "--name", "idle", HELLO)
    rows = json.loads(clean.shoal("stats", "--no-stream", "--format", "json"))
    assert [row["name"].partition(".")[0] for row in rows] == ["busy", "idle"]
    busy, idle = rows
    assert 100_000_000 < busy["nano_cpus"] < 350_000_000
    assert idle["nano_cpus"] < busy["nano_cpus"]
    assert busy["limit_memory_bytes"] == 32 << 20
    assert 0 < busy["memory_bytes"] < busy["limit_memory_bytes"]
    assert busy["pids"] >= 1
    table = clean.shoal("stats", "--no-stream", "idle")
    columns = ["NAME", "NODE", "CPU", "MEMORY", "LIMIT", "PERCENT", "NET IO", "BLOCK IO", "PIDS"]
    assert re.split(" {2,}", table.splitlines()[0].strip()) == columns
    assert len(table.splitlines()) == 2
    assert clean.run("stats", "--no-stream", "nothing").returncode == 1


def test_a_busy_service_grows(clean: Cluster) -> None:
    clean.shoal(
        *("service", "create", "--name", "busy", "--limit-cpu", "0.05"),
        *("--autoscale", "min=1,max=2,cpu=50,up-cooldown=0s", HELLO, *BUSY),
    )
    clean.until(lambda: len(clean.tasks("busy")) == 2, "the second task")
    (document,) = clean.json("service", "inspect", "busy")
    assert document["revision"] == 1
    assert "1 to 2 replicas" in document["autoscale_status"]["message"]
    refused = clean.run("service", "scale", "busy=5")
    assert refused.returncode == 2
    assert "autoscaling is enabled" in refused.stderr
