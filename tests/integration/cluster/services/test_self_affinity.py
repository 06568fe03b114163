"""Services that are to be near or away from each other and themselves, and rollbacks that do not wait."""

from collections import Counter
from pathlib import Path

from tests.integration.cluster.harness import Cluster

HELLO = "registry:5000/hello"
STACK = f"""
services:
  web:
    image: {HELLO}:1
    deploy: {{replicas: 4, placement: {{x-affinities: ["service!=web"]}}}}
  side:
    image: {HELLO}:1
    deploy: {{replicas: 2, placement: {{x-affinities: ["service==side", "service==web"]}}}}
"""


def nodes(cluster: Cluster, service: str) -> Counter[str]:
    return Counter(row["node"] for row in cluster.tasks(service) if row["state"] == "running")


def test_a_stack_whose_services_keep_apart_and_together(clean: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(STACK)
    done = clean.run("stack", "deploy", "--detach", "-c", str(file), "shop")
    assert done.returncode == 0, done.stderr + clean.logs()
    assert "affinity" not in done.stderr
    clean.until(lambda: sum(nodes(clean, "shop_side").values()) == 2, "both tasks of side")
    clean.until(lambda: sum(nodes(clean, "shop_web").values()) == 3, "a task of web on each node")
    assert set(nodes(clean, "shop_web").values()) == {1}
    assert len(nodes(clean, "shop_side")) == 1
    (waiting,) = (row for row in clean.tasks("shop_web") if row["state"] == "pending")
    assert waiting["reason"] == "no suitable node: 3 of 3 violate the service's anti-affinity with itself"
    again = clean.run("stack", "deploy", "--detach", "-c", str(file), "shop")
    assert (again.returncode, "affinity" in again.stderr) == (0, False)
    clean.shoal("stack", "rm", "shop")


def test_a_service_on_each_node_cannot_be_away_from_itself(clean: Cluster) -> None:
    refused = clean.run("service", "create", "--name", "web", "--mode", "global", "--affinity", "service!=web", HELLO)
    assert refused.returncode != 0
    assert "must be another service: a global service has one task per node" in refused.stderr


def test_a_rollback_while_canaries_wait_acts_at_once(clean: Cluster) -> None:
    canary = ("--update-canary", "1", "--update-monitor", "300ms", "--update-parallelism", "0")
    clean.shoal("service", "create", "--name", "web", "--replicas", "3", *canary, f"{HELLO}:1")
    clean.shoal("service", "update", "--image", f"{HELLO}:2", "web")
    refused = clean.run("service", "resume", "web")
    assert refused.returncode == 1
    assert "waiting for promotion" in refused.stderr
    clean.shoal("service", "rollback", "web")
    running = [row for row in clean.tasks("web") if row["state"] == "running"]
    assert {row["image"].rpartition(":")[2] for row in running} == {"1"}
    assert len(running) == 3


def test_what_is_wanted_of_a_job_is_that_it_completes(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "once", "--mode", "replicated-job", HELLO + ":1", "true")
    (row,) = clean.json("service", "ps", "once")
    assert (row["desired"], row["state"]) == ("complete", "complete")
