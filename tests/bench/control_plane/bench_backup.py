"""A backup of 10,000 tasks on 200 nodes, and its restoration: time, size, memory.

Run: python -m tests.bench.control_plane.bench_backup

A whole manager, its own etcd with fsync, and simulated agents that run all tasks meanwhile.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from shoal.api.v1.control_pb2 import GetClusterRequest
from shoal.backups.backup_reader import inspect_backup
from tests.bench.control_plane.bench_control_plane import Bench
from tests.bench.rig.figures import Figure, p50, table
from tests.bench.rig.simulated_cluster import SimulatedCluster, simulated_cluster

NODES, TASKS, ROUNDS = 200, 10_000, 5
SHOAL = str(Path(sys.executable).with_name("shoal"))
SCOPE = "control plane"


def measure() -> list[Figure]:
    """On this machine; about two minutes."""
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        return asyncio.run(_measure(Path(directory)))


async def _measure(directory: Path) -> list[Figure]:
    async with simulated_cluster(directory, NODES) as (cluster, control):
        bench = Bench(cluster, control, TASKS)
        await bench.connect()
        await bench.up()
        environment = {**os.environ, "SHOAL_CONFIG": str(directory / "config")}
        made = [SHOAL, "context", "create", "here", "--admin", str(cluster.manager.state / "admin")]
        await asyncio.to_thread(subprocess.run, made, env=environment, check=True, capture_output=True)
        file = directory / "shoal.backup"
        figures = await _backups(cluster, control, file, environment)
        return [*figures, *await _restorations(cluster, directory, file)]


async def _backups(cluster: SimulatedCluster, control: Any, file: Path, environment: dict[str, str]) -> list[Figure]:
    seconds: list[float] = []
    processor: list[float] = []
    etcd: list[float] = []
    grown: list[float] = []
    waits: list[float] = []
    for _ in range(ROUNDS):
        await asyncio.sleep(1)
        before, resident = cluster.mark(), _forget_peak(cluster.manager_pid)
        watching = asyncio.create_task(_longest_call(control))
        began = time.monotonic()
        command = [SHOAL, "cluster", "backup", str(file)]
        await asyncio.to_thread(subprocess.run, command, env=environment, check=True, capture_output=True)
        seconds.append(time.monotonic() - began)
        used = cluster.mark().since(before)
        watching.cancel()
        waits += await asyncio.gather(watching)
        processor.append(used.manager)
        etcd.append(used.etcd)
        grown.append((_status(cluster.manager_pid, "VmHWM") - resident) / 1024)
    with file.open("rb") as stream:
        found = inspect_backup(stream)
    return [
        Figure("backup of 10,000 tasks by the command, p50", p50(seconds), "s", scope=SCOPE),
        Figure("  manager's processor time, p50", p50(processor), "s", scope=SCOPE),
        Figure("  etcd's processor time, p50", p50(etcd), "s", scope=SCOPE),
        Figure("  manager's memory, most that it grew by", max(grown), "MiB", scope=SCOPE),
        Figure("  longest call of another client meanwhile", max(waits) * 1000, "ms", scope=SCOPE),
        Figure("  size", found.size_bytes / 1e6, "MB", scope=SCOPE),
        Figure("  records", found.header.records, "", scope=SCOPE),
    ]


async def _restorations(cluster: SimulatedCluster, directory: Path, file: Path) -> list[Figure]:
    seconds, most = [], 0.0
    for number in range(ROUNDS):
        state = directory / f"restored{number}"
        state.mkdir(mode=0o700)
        shutil.copy(cluster.manager.state / "cluster.key", state)
        took, mebibytes = await asyncio.to_thread(_restore, state, file)
        seconds.append(took)
        most = max(most, mebibytes)
    return [
        Figure("restoration, with the start and the end of etcd, p50", p50(seconds), "s", scope=SCOPE),
        Figure("  memory of the command, without its etcd", most, "MiB", scope=SCOPE),
    ]


def _restore(state: Path, file: Path) -> tuple[float, float]:
    """Seconds, and the most memory of the command in MiB."""
    command = [sys.executable, "-m", "manager.main", "restore", "--force", "--skip-manager-check"]
    began = time.monotonic()
    process = subprocess.Popen([*command, "--state-directory", str(state), str(file)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return time.monotonic() - began, usage.ru_maxrss / 1024


async def _longest_call(control: Any) -> float:
    longest = 0.0
    while True:
        began = time.monotonic()
        try:
            await control.GetCluster(GetClusterRequest(), timeout=10)
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            return longest


def _forget_peak(pid: int) -> int:
    """Begin a new peak of the process; its resident memory now, KiB."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    print(table(measure()))
