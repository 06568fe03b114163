"""Volumes of a CSI driver: a real one beside two of three agents, on storage that both reach."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cli.playground import virtual_network
from tests.csi_driver.driver import DRIVER
from tests.csi_driver.pool import Pool
from tests.integration.cluster.agents import restart_agent
from tests.integration.cluster.harness import Cluster, inside
from tests.integration.cluster.leftovers import remove_all
from tests.integration.cluster.services.test_secrets import create, etcd_values, files_with, in_memory

HELLO = "registry:5000/hello"
QUICK = ("--restart-delay", "100ms")
ROOT = Path(__file__).parents[4]


class Drivers:
    """The driver's processes by host, over one pool."""

    def __init__(self, cluster: Cluster, pool: Pool) -> None:
        self.cluster = cluster
        self.pool = pool
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        for name in names:
            socket = self.cluster.host_of(name).state / "csi" / "dirs.sock"
            command = [sys.executable, "-m", "tests.csi_driver.driver", "--socket", str(socket), "--node", name]
            with (self.pool.directory / f"{name}.log").open("ab") as log:
                self._running[name] = subprocess.Popen(
                    [*command, "--pool", str(self.pool.directory)], cwd=ROOT, stdout=log, stderr=log
                )
        self.cluster.until(lambda: all(self.is_ready(name) for name in names), "the nodes to report the driver")

    def stop(self, *names: str) -> None:
        for name in names:
            process = self._running.pop(name)
            process.terminate()
            process.wait(10)
        self.cluster.until(lambda: not any(self.is_ready(name) for name in names), "the nodes to miss the driver")

    def stop_all(self) -> None:
        for process in self._running.values():
            process.terminate()
            process.wait(10)

    def is_ready(self, name: str) -> bool:
        reported = self.cluster.json("node", "inspect", name)[0]["status"]["description"].get("csi_drivers", [])
        return any(each["name"] == DRIVER and not each.get("problem") for each in reported)

    def mounted(self) -> list[str]:
        """What any host has mounted of the pool."""
        return [line for line in Path("/proc/self/mounts").read_text().splitlines() if "/attached/" in line]

    def calls(self, method: str) -> list[str]:
        return [line for line in self.pool.calls() if line.split()[1] == method]


@pytest.fixture(scope="module")
def running(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    """The driver on h1 and h2."""
    made = Drivers(cluster, Pool(tmp_path_factory.mktemp("pool")))
    try:
        made.start("h1", "h2")
        yield made
    finally:
        made.stop_all()


@pytest.fixture
def drivers(running: Drivers, clean: Cluster) -> Iterator[Drivers]:
    """The same; services and volumes that the test made are gone after it, from every disk and mount table."""
    yield running
    running.pool.break_calls()
    running.pool.want_secrets(None)
    remove_all(clean)
    assert running.pool.volumes() == [], "the driver has deleted them"
    assert running.mounted() == [], "nothing stays mounted"
    assert running.calls("VIOLATION") == [], "none was asked for on two nodes at once"


def task_of(cluster: Cluster, service: str) -> tuple[str, int]:
    """Node and process id of the one task, once it runs."""

    def found() -> tuple[str, int] | None:
        rows = [row for row in cluster.tasks(service) if row["state"] == "running"]
        return (rows[0]["node"], cluster.inspect(rows[0]["id"])["status"]["pid"]) if rows else None

    reported: tuple[str, int] = cluster.until(found, f"{service} to run")
    return reported


def volume(cluster: Cluster) -> dict[str, Any]:
    """The volume `data` as it is listed, maybe beside those that their driver has yet to delete."""
    found: dict[str, Any] = next(each for each in cluster.json("volume", "ls") if each["name"] == "data")
    return found


def sh(pid: int, script: str) -> str:
    done = inside(pid, "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def reason(cluster: Cluster, service: str, part: str) -> str:
    """Why its task waits, once that has this part."""
    reported: list[str] = cluster.until(
        lambda: [row["reason"] for row in cluster.tasks(service) if part in row["reason"]], f"the reason {part!r}"
    )
    return reported[0]


def test_its_data_moves_with_its_task_and_is_deleted_at_the_end(drivers: Drivers) -> None:
    cluster = drivers.cluster
    cluster.shoal("volume", "create", "--driver", DRIVER, "--opt", "tier=gold", "--size", "1M", "data")
    cluster.shoal("service", "create", "--name", "db", *QUICK, "--mount", "source=data,target=/data", f"{HELLO}:1")
    first, pid = task_of(cluster, "db")
    sh(pid, "echo mine > /data/file")
    cluster.shoal("node", "update", "--availability", "drain", first)
    second, pid = cluster.until(
        lambda: now if (now := task_of(cluster, "db"))[0] != first else None, "the task to move"
    )
    assert {first, second} == {"h1", "h2"}, "only these have the driver"
    assert sh(pid, "cat /data/file") == "mine"
    cluster.until(lambda: len(drivers.mounted()) == 2, "the first node has released it")
    assert all(f"/{second}/" in line for line in drivers.mounted())
    cluster.until(lambda: volume(cluster)["nodes"] == second, "the second node to report it")
    assert (volume(cluster)["services"], volume(cluster)["state"]) == ("db", "present")
    refused = cluster.run("volume", "rm", "data")
    assert refused.returncode == 1 and "in use by db" in refused.stderr
    cluster.shoal("service", "rm", "db")
    cluster.shoal("volume", "rm", "data")
    cluster.until(lambda: drivers.pool.volumes() == [], "the driver to delete it")


def test_two_services_share_it_on_one_node_and_none_is_put_elsewhere(drivers: Drivers) -> None:
    cluster = drivers.cluster
    mount = f"type=volume,source=data,target=/data,volume-driver={DRIVER},volume-opt=tier=gold"
    cluster.shoal("service", "create", "--name", "db", "--mount", mount, f"{HELLO}:1")
    node, _ = task_of(cluster, "db")
    made = cluster.run("service", "create", "--name", "two", "--replicas", "2", "--mount", mount, f"{HELLO}:1")
    assert made.returncode == 0 and "volume data can be used on one node at a time" in made.stderr
    assert {row["node"] for row in cluster.tasks("two")} == {node}
    other = {"h1": "h2", "h2": "h1"}[node]
    for service, host, part in (
        ("far", other, f"in use on node {node}"),
        ("no", "h3", f"lacks volume driver {DRIVER}"),
    ):
        cluster.shoal(
            *("service", "create", "-d", "--name", service, "--constraint", f"node.hostname == {host}"),
            *("--mount", mount, f"{HELLO}:1"),
        )
        assert part in reason(cluster, service, part)
    wrong = cluster.run("service", "create", "--mount", mount.replace(DRIVER, "local"), f"{HELLO}:1")
    assert wrong.returncode == 2 and f"already exists with driver {DRIVER}, not local" in wrong.stderr


def test_errors_of_the_driver_are_reported_and_calls_repeated(drivers: Drivers) -> None:
    cluster = drivers.cluster
    refused = cluster.run("volume", "create", "--driver", DRIVER, "--opt", "colour=red", "red")
    assert refused.returncode == 1 and "parameter 'colour' is not known (INVALID_ARGUMENT)" in refused.stderr
    cluster.shoal("volume", "rm", "red")
    drivers.pool.break_calls(NodeStageVolume={"code": "INTERNAL", "message": "bad superblock"})
    cluster.shoal("volume", "create", "--driver", DRIVER, "data")
    cluster.shoal("service", "create", "-d", "--name", "db", *QUICK, "--mount", "source=data,target=/d", f"{HELLO}:1")
    assert reason(cluster, "db", "bad superblock").startswith("volume data: driver dirs.test.example: NodeStageVolume:")
    cluster.until(lambda: "bad superblock" in volume(cluster)["problem"], "the volume's problem")
    assert "(mounting)" in volume(cluster)["nodes"]
    drivers.pool.break_calls()
    task_of(cluster, "db")
    drivers.stop("h1", "h2")
    cluster.shoal("service", "create", "-d", "--name", "late", "--mount", "source=data,target=/d", f"{HELLO}:1")
    assert "is unavailable" in reason(cluster, "late", "is unavailable")
    task_of(cluster, "db")
    drivers.start("h1", "h2")
    task_of(cluster, "late")


def test_killed_managers_and_agents_lose_nothing(drivers: Drivers) -> None:
    cluster, playground = drivers.cluster, drivers.cluster.playground
    slow = {"seconds": 1.5}
    drivers.pool.break_calls(CreateVolume=slow, ControllerPublishVolume=slow, NodePublishVolume=slow)
    cluster.shoal("volume", "create", "--detach", "--driver", DRIVER, "data")
    cluster.shoal("service", "create", "-d", "--name", "db", *QUICK, "--mount", "source=data,target=/d", f"{HELLO}:1")
    for method in ("CreateVolume", "ControllerPublishVolume"):
        cluster.until(partial(drivers.calls, method), f"{method} to be under way")
        playground.stop_manager(kill=True)
        playground.start_manager()
    cluster.until(lambda: drivers.calls("NodePublishVolume"), "the mount to be under way")
    host = cluster.host_of(drivers.calls("NodePublishVolume")[0].split()[0])
    restart_agent(cluster, host)
    drivers.pool.break_calls()
    node, pid = task_of(cluster, "db")
    assert node == host.name and len(drivers.pool.volumes()) == 1
    sh(pid, "echo mine > /d/file")
    playground.stop_agent(host, kill=True)
    playground.start_agent(host)
    assert sh(pid, "cat /d/file") == "mine", "the container has not noticed"
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, pid = cluster.until(lambda: now if (now := task_of(cluster, "db"))[1] != pid else None, "its successor")
    assert sh(pid, "cat /d/file") == "mine"


def test_a_node_that_is_away_keeps_it_until_it_is_given_up(drivers: Drivers) -> None:
    cluster = drivers.cluster
    cluster.shoal("volume", "create", "--driver", DRIVER, "data")
    cluster.shoal("service", "create", "--name", "db", *QUICK, "--mount", "source=data,target=/d", f"{HELLO}:1")
    first, pid = task_of(cluster, "db")
    sh(pid, "echo mine > /d/file")
    virtual_network.set_link_state(cluster.layout, cluster.host_of(first), connected=False)
    reported = reason(cluster, "db", "may still use it")
    assert reported.startswith("volume data: ")
    assert f"to release it anyway, run `shoal node rm --force {first}`" in reported
    assert [row["state"] for row in cluster.tasks("db")] == ["preparing"], "it does not run on two nodes"
    virtual_network.set_link_state(cluster.layout, cluster.host_of(first), connected=True)
    second, pid = task_of(cluster, "db")
    assert second != first and sh(pid, "cat /d/file") == "mine"


def test_of_a_stack(drivers: Drivers, tmp_path: Path) -> None:
    cluster = drivers.cluster
    (tmp_path / "stack.yaml").write_text(
        f"services:\n  web:\n    image: {HELLO}:1\n    volumes: ['shared:/data:ro']\n    deploy: {{replicas: 2}}\n"
        f"volumes:\n  shared:\n    driver: {DRIVER}\n    driver_opts: {{tier: gold}}\n"
        "    x-access-mode: multi-node-reader-only\n    x-size: 2M\n"
    )
    deploy = ("stack", "deploy", "-c", str(tmp_path / "stack.yaml"), "shop")
    rehearsed = cluster.shoal(*deploy, "--dry-run")
    assert "h1" in rehearsed and "h2" in rehearsed and drivers.pool.volumes() == []
    cluster.shoal(*deploy)
    assert {row["node"] for row in cluster.tasks("shop_web")} == {"h1", "h2"}, "many nodes may read it"
    (pid, _) = cluster.pids("shop_web").values()
    assert inside(pid, "/bin/touch", "/data/file").returncode != 0
    (row,) = cluster.json("volume", "ls")
    assert (row["name"], row["driver"]) == ("shop_shared", DRIVER)
    cluster.shoal("stack", "rm", "shop")


def test_its_driver_is_given_secrets_that_are_nowhere_else(drivers: Drivers, tmp_path: Path) -> None:
    cluster, word, next_word = drivers.cluster, "tOpSeCrEt-of-the-storage", "nExT-of-the-storage"
    create(cluster, "secret", "pw", word)
    drivers.pool.want_secrets({"user": "me", "password": word})
    bare = cluster.run("volume", "create", "--driver", DRIVER, "bare")
    assert bare.returncode == 1 and "the storage does not know {} (UNAUTHENTICATED)" in bare.stderr
    cluster.shoal("volume", "rm", "bare")
    create(cluster, "secret", "user", "you")
    flags = ("--secret", "password=pw", "--secret", "user=user")
    wrong = cluster.run("volume", "create", "--driver", DRIVER, *flags, "data")
    assert wrong.returncode == 1 and "does not know" in wrong.stderr and "[secret]" in wrong.stderr
    assert word not in wrong.stderr + cluster.shoal("volume", "inspect", "data")
    assert cluster.run("secret", "update", "user", "-", text="me").returncode == 0
    cluster.until(lambda: cluster.json("volume", "ls")[0]["state"] == "present", "the driver to be asked again")
    cluster.shoal("service", "create", "--name", "db", *QUICK, "--mount", "source=data,target=/d", f"{HELLO}:1")
    first, pid = task_of(cluster, "db")
    sh(pid, "echo mine > /d/file")
    refused = cluster.run("secret", "rm", "pw")
    assert refused.returncode == 1 and "in use by volume data" in refused.stderr
    other = {"h1": "h2", "h2": "h1"}[first]
    assert in_memory(cluster.playground.pid(first), word.encode()), "the look into memory finds what is there"
    assert not in_memory(cluster.playground.pid("h3"), word.encode()), "a node without the driver has it"
    drivers.pool.want_secrets({"user": "me", "password": next_word})
    assert cluster.run("secret", "update", "pw", "-", text=next_word).returncode == 0
    cluster.shoal("node", "update", "--availability", "drain", first)
    second, pid = cluster.until(lambda: now if (now := task_of(cluster, "db"))[0] == other else None, "it to move")
    assert sh(pid, "cat /d/file") == "mine", "later calls bring what the secret is by then"
    host = cluster.host_of(second)
    cluster.playground.stop_agent(host, kill=True)
    cluster.playground.start_agent(host)
    cluster.until(lambda: cluster.json("volume", "ls")[0]["nodes"] == second, "it to be confirmed again")
    cluster.shoal("service", "rm", "db")
    cluster.shoal("volume", "rm", "data")
    cluster.until(lambda: drivers.pool.volumes() == [], "the driver to delete it")
    for text in (word.encode(), next_word.encode()):
        assert text not in etcd_values(cluster)
        assert not files_with(cluster.layout.state, text) and not files_with(cluster.layout.run, text)
    drivers.pool.want_secrets({"password": word})
    (tmp_path / "pw.txt").write_text(word)
    (tmp_path / "stack.yaml").write_text(
        f"services:\n  web:\n    image: {HELLO}:1\n    volumes: ['shared:/data']\n"
        f"volumes:\n  shared:\n    driver: {DRIVER}\n    x-secrets: {{password: pw}}\n"
        "secrets:\n  pw: {file: ./pw.txt}\n"
    )
    cluster.shoal("stack", "deploy", "-c", str(tmp_path / "stack.yaml"), "shop")
    cluster.shoal("stack", "rm", "shop")
    assert [row["volumes"] for row in cluster.json("secret", "ls") if row["name"] == "shop_pw"] == ["shop_shared"]
