"""Where tasks go, as a user has it: expressions, affinities, generic resources, priorities, drains, rebalancing."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.playground.layout import PlaygroundHost
from tests.integration.cluster.harness import Cluster, inside

HELLO = "registry:5000/hello:1"
DEVICE = "/dev/kmsg"
CDI = """
cdiVersion: 0.6.0
kind: example.com/null
containerEdits:
  env: [COMMON=yes]
  mounts: [{{hostPath: {directory}/driver, containerPath: /usr/lib/driver, options: [ro, nosuid, nodev, bind]}}]
  hooks: [{{hookName: createRuntime, path: /usr/bin/touch, args: [touch, {directory}/hooked]}}]
devices:
- {{name: a, containerEdits: {{env: [DEVICE=a]}}}}
- {{name: b, containerEdits: {{env: [DEVICE=b], deviceNodes: [{{path: /dev/cdi-null, hostPath: /dev/null}}]}}}}
"""


def create(cluster: Cluster, name: str, *flags: str, replicas: int = 1) -> None:
    cluster.shoal("service", "create", "--name", name, "--replicas", str(replicas), *flags, HELLO)


def homes(cluster: Cluster, service: str) -> Counter[str]:
    return Counter(task["node"] for task in cluster.tasks(service) if task["state"] == "running")


def hostnames(cluster: Cluster) -> list[str]:
    return sorted(row["hostname"] for row in cluster.json("node", "ls"))


@pytest.fixture
def equipped(clean: Cluster) -> Iterator[Cluster]:
    """One host has a seat and two named things, one of them a device."""
    host = clean.host_of(hostnames(clean)[0])
    restart_agent(clean, host, f"seat=1 thing={DEVICE},T-2", "rack=r1 disk=ssd")
    yield clean
    restart_agent(clean, host, "")


def restart_agent(
    cluster: Cluster, host: PlaygroundHost, resources: str, labels: str = "", cdi: Path | None = None
) -> None:
    asked = {"RESOURCE": resources, "LABEL": labels, "CDI_DIRECTORY": str(cdi or "/none")}
    os.environ.update({f"SHOAL_AGENT_{name}": value for name, value in asked.items()})
    try:
        cluster.playground.stop_agent(host)
        cluster.playground.start_agent(host)
    finally:
        for name in asked:
            del os.environ[f"SHOAL_AGENT_{name}"]

    def reported() -> bool:
        (node,) = cluster.json("node", "inspect", host.name)
        about = node["status"]["description"]["resources"].get("generic_resources", [])
        return node["status"]["state"] == "READY" and len(about) == len(resources.split()) + (cdi is not None)

    cluster.until(reported, "the agent to report its resources")


def test_labels_of_hosts_and_roles(equipped: Cluster) -> None:
    first = hostnames(equipped)[0]
    (row,) = [row for row in equipped.json("node", "ls") if row["hostname"] == first]
    assert f"--engine-label-add disk=ssd --engine-label-add rack=r1 {first}" in row["warnings"]
    equipped.shoal("node", "update", "--engine-label-add", "disk=ssd", "--engine-label-add", "rack=r1", first)

    def accepted() -> bool:
        (node,) = equipped.json("node", "inspect", first)
        return bool(node["status"]["description"].get("engine_labels") == {"rack": "r1", "disk": "ssd"})

    equipped.until(accepted, "its labels are accepted")
    flags = ("--constraint", "engine.labels.rack == r1", "--constraint", "node.role == worker")
    create(equipped, "web", *flags, replicas=2)
    assert homes(equipped, "web") == {first: 2}
    reported = equipped.run(
        "service", "create", "--detach", "--name", "proxy", "--constraint", "node.role==manager", HELLO
    )
    assert (
        "no node matches the constraint 'node.role == manager'" in reported.stderr
    )  # the playground's runs on no host


def test_expressions_and_warnings(clean: Cluster) -> None:
    first, second, third = hostnames(clean)
    create(clean, "web", "--constraint", f"node.hostname =~ ^({first}|{second})$", replicas=4)
    assert homes(clean, "web") == {first: 2, second: 2}
    stays = {task["id"] for task in clean.tasks("web") if task["node"] == second}
    clean.shoal("service", "update", "--constraint-add", f"node.hostname not-in {first}, {third}", "web")
    assert homes(clean, "web") == {second: 4}  # said to be converged when it was so
    assert stays < {task["id"] for task in clean.tasks("web")}
    platforms = clean.json("service", "inspect", "web")[0]["spec"]["task"]["placement"]["platforms"]
    assert [platform["os"] for platform in platforms] == ["linux"]
    reported = clean.run(
        *("service", "create", "--detach", "--name", "odd", "--constraint", "node.labels.gpu > 3"),
        *("--placement-pref", "spread=node.labels.rack", "--generic-resource", "gpu=1", "--affinity", "service==none"),
        HELLO,
    )
    assert reported.returncode == 0
    assert "no node matches the constraint 'node.labels.gpu > 3'" in reported.stderr
    assert "no node has node.labels.rack" in reported.stderr
    assert 'affinity: service "none" not found' in reported.stderr
    assert "1 of generic resource gpu are reserved, but no node has more than 0" in reported.stderr
    refused = clean.run("service", "create", "--name", "bad", "--constraint", "node.id =~ (a", "--priority", "5", HELLO)
    assert refused.returncode != 0
    assert "missing ')'" in refused.stderr


def test_affinities(clean: Cluster) -> None:
    create(clean, "db")
    (home,) = homes(clean, "db")
    create(clean, "near", "--affinity", "service==db", replicas=2)
    create(clean, "away", "--affinity", "service!=db", replicas=2)
    assert homes(clean, "near") == {home: 2}
    assert home not in homes(clean, "away")


def test_generic_resources_and_priorities(equipped: Cluster) -> None:
    first = hostnames(equipped)[0]
    create(equipped, "low", "--generic-resource", "seat=1", "--generic-resource", "thing=1")
    assert homes(equipped, "low") == {first: 1}
    ((task, pid),) = equipped.pids("low").items()
    given = {each["kind"]: each for each in equipped.inspect(task)["task"]["generic_resources"]}
    assert given["thing"]["names"] == [DEVICE]
    reserved = equipped.json("node", "inspect", first)[0]["reserved"]["generic_resources"]
    assert sorted((each["kind"], *each.get("names", [])) for each in reserved) == [("seat",), ("thing", DEVICE)]
    environment = inside(pid, "/bin/cat", "/proc/1/environ").stdout.split("\0")
    assert {"DOCKER_RESOURCE_SEAT=1", f"DOCKER_RESOURCE_THING={DEVICE}"} <= set(environment)
    assert inside(pid, "/bin/ls", DEVICE).returncode == 0
    create(equipped, "high", "--generic-resource", "seat=1", "--priority", "10")
    assert homes(equipped, "high") == {first: 1}
    (waiting,) = equipped.tasks("low")
    assert waiting["state"] == "pending"
    ended = [row for row in equipped.json("service", "ps", "--all", "low") if row["desired"] != "running"]
    assert "preempted by service high with priority 10" in str(equipped.inspect(ended[0]["id"]))


def test_devices_of_the_container_device_interface(clean: Cluster, tmp_path: Path) -> None:
    first = hostnames(clean)[0]
    host = clean.host_of(first)
    (tmp_path / "driver").write_text("library")
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "null.yaml").write_text(CDI.format(directory=tmp_path))
    restart_agent(clean, host, "", cdi=tmp_path / "specs")
    try:
        create(clean, "one", "--device", "example.com/null=b")
        ((task, pid),) = clean.pids("one").items()
        assert homes(clean, "one") == {first: 1}
        assert [each["names"] for each in clean.inspect(task)["task"]["generic_resources"]] == [["b"]]
        environment = inside(pid, "/bin/cat", "/proc/1/environ").stdout.split("\0")
        assert {"COMMON=yes", "DEVICE=b"} <= set(environment)
        assert inside(pid, "/bin/cat", "/usr/lib/driver").stdout == "library"
        assert inside(pid, "/bin/sh", "-c", "echo x > /dev/cdi-null && cat /dev/cdi-null").returncode == 0
        assert (tmp_path / "hooked").exists()
        create(clean, "two", "--detach", "--generic-resource", "example.com/null=2")
        create(clean, "three", "--generic-resource", "example.com/null=1")
        assert [
            each["names"] for each in clean.inspect(clean.tasks("three")[0]["id"])["task"]["generic_resources"]
        ] == [["a"]]
        (waiting,) = clean.tasks("two")
        assert "3 of 3 lack 2 example.com/null" in str(clean.inspect(waiting["id"]))
    finally:
        restart_agent(clean, host, "")


def test_devices_of_hosts_by_path(clean: Cluster) -> None:
    reported = clean.run("service", "create", "--detach", "--name", "modem", "--device", "/dev/shoal-none", HELLO)
    assert "no node has the device /dev/shoal-none; the tasks stay pending until one does" in reported.stderr

    def waits() -> bool:
        (task,) = clean.tasks("modem")
        return "3 of 3 lack device /dev/shoal-none" in str(clean.inspect(task["id"]))

    clean.until(waits, "the task waits for the device")
    clean.shoal("service", "update", "--device-rm", "/dev/shoal-none", "--device-add", "/dev/null:/dev/modem", "modem")
    ((_, pid),) = clean.pids("modem").items()
    assert inside(pid, "/bin/ls", "/dev/modem").returncode == 0


def test_drain_and_rebalance(clean: Cluster) -> None:
    first = hostnames(clean)[0]
    create(clean, "web", replicas=6)
    clean.shoal("node", "update", "--availability", "drain", "--drain-deadline", "1m", first)
    try:

        def drained() -> bool:  # of a service that says nothing each task stops before its successor starts
            found = homes(clean, "web")
            return first not in found and found.total() >= 6

        clean.until(drained, "the node is drained, and as many run elsewhere")
    finally:
        clean.shoal("node", "update", "--availability", "active", first)
    moves = clean.json("service", "rebalance", "--dry-run", "web")
    assert [move["to"] for move in moves] == [first, first]
    assert first not in homes(clean, "web")
    clean.shoal("service", "rebalance", "web")
    assert homes(clean, "web") == dict.fromkeys(hostnames(clean), 2)
    assert clean.json("service", "rebalance", "web") == []
