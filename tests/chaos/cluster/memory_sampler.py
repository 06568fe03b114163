"""Resident memory of all programs of the cluster, each 5 s."""

import json
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tests.chaos.checks.memory import ETCD, MemorySample
from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.fault_kinds import MANAGERS

_PERIOD_SECONDS = 5.0


class MemorySampler:
    """A thread.

    Args:
        copy: file of all samples, a line of JSON each.
    """

    def __init__(self, cluster: ChaosCluster, copy: Path) -> None:
        self.samples: list[MemorySample] = []
        self._cluster = cluster
        self._copy = copy
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with self._copy.open("a") as copy:
            while not self._stopping.wait(_PERIOD_SECONDS):
                found = read_memory(self._cluster)
                self.samples += found
                copy.writelines(json.dumps(asdict(each)) + "\n" for each in found)


def read_memory(cluster: ChaosCluster) -> list[MemorySample]:
    """Of every manager, its etcd and every agent, now."""
    found = []
    for name in cluster.names():
        pids = {name: cluster.pid(name)}
        if name in MANAGERS:
            pids[f"{ETCD}{name}"] = cluster.etcd_pid(name)
        for what, pid in pids.items():
            with suppress(OSError, StopIteration):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
                found.append(MemorySample(round(time.time(), 1), what, pid, kib << 10, cluster.load))
    return found
