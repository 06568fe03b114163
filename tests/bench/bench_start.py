"""Starts of containers by the agent's runtime, against the floor: an overlay mount and `crun run -d`, nothing else.

    python tests/bench/bench_start.py [--count 60] [--parallel 1,4,8] [--json FILE]

Step by step at one at a time, the rate at several, and what supervision costs in memory. Both ways run in the same
call, in turns, since only ratios hold on a noisy machine. To reach: 0.6 of the floor's rate.
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.runtime.container_paths import read_record
from agent.runtime.host_facts import read_host_facts
from agent.runtime.kernel.cgroup_layout import parse_layout
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.kernel.linux import CLONE_FS, unshare
from agent.runtime.oci_runtime import OciRuntime
from agent.runtime.open_runtime import RuntimeConfig, open_runtime
from agent.runtime.rootfs.overlay_mount import mount_overlay, private_mounts
from agent.runtime.spec.oci_spec import oci_spec
from agent.runtime.spec.user_lookup import ContainerUser
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image
from shoal.api.v1.meta_pb2 import Resources
from shoal.task_group import TaskGroup
from shoal.tree_removal import delete_trees
from tests.bench.rig.figures import Figure
from tests.fakes.containers import Ends, build_image, container_request, new_cgroup, wall_clock_ms

TARGET = 0.6
_CUTS = ("p50", "p99")


@dataclass
class Measured:
    """Seconds of each start, by the number of starts at once; containers a second; seconds by step."""

    latencies: list[float] = field(default_factory=list)
    rates: dict[int, list[float]] = field(default_factory=dict)
    steps: dict[str, list[float]] = field(default_factory=dict)

    def rate(self, parallel: int) -> float:
        """Median containers a second."""
        return statistics.median(self.rates[parallel])


def sleeper(image: Image) -> ContainerRequest:
    """A container with limits and the default filter, as a service's task would have."""
    limits = Resources(nano_cpus=500_000_000, memory_bytes=64 << 20, pids=100)
    return container_request(image, "/bin/sleep", "1000", limits=limits)


class Floor:
    """`crun run -d` on an overlay, with the same spec and a compiled filter, by threads that do nothing else."""

    def __init__(self, directory: Path, uppers: Path, image: Image, cgroup: str, compiled: Path) -> None:
        self._directory = directory
        self._uppers = uppers
        self._image = image
        self._layout = parse_layout(Path("/proc/self/mountinfo").read_text())
        self._cgroups = Cgroups(layout=self._layout, parent=cgroup)
        self._host = read_host_facts(self._layout, has_apparmor=False)
        self._filter = base64.b64encode(compiled.read_bytes()).decode()
        self._namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._made: list[str] = []
        self._lock = threading.Lock()

    def start(self) -> float:
        """Seconds that one took."""
        request = sleeper(self._image)
        begin = time.perf_counter()
        bundle, upper = self._directory / "floor" / request.task_id, self._uppers / request.task_id
        for directory in (bundle / "rootfs", upper / "u", upper / "w"):
            directory.mkdir(parents=True)
        with private_mounts(self._namespace, hide=self._layout.hybrid_mount):
            mount_overlay(request.image.layers, upper, bundle / "rootfs")
            cgroup = self._cgroups.name(request.task_id)
            user = ContainerUser(0, 0, (), "/root")
            spec = oci_spec(request, user=user, rootfs=bundle / "rootfs", cgroup=cgroup, etc_files={}, host=self._host)
            spec["annotations"] = {"run.oci.seccomp_bpf_data": self._filter}
            spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO"}
            (bundle / "config.json").write_text(json.dumps(spec))
            root = str(self._directory / "floor-state")
            command = ["crun", "--root", root, "run", "-d", "-b", str(bundle), request.task_id]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        taken = time.perf_counter() - begin
        with self._lock:
            self._made.append(request.task_id)
        return taken

    def batch(self, count: int, parallel: int) -> tuple[list[float], float]:
        """Latencies, and the seconds of the whole."""
        with ThreadPoolExecutor(parallel, initializer=unshare, initargs=(CLONE_FS,)) as threads:
            begin = time.perf_counter()
            latencies = list(threads.map(lambda _: self.start(), range(count)))
            return latencies, time.perf_counter() - begin

    def clear(self) -> None:
        """Remove the containers of a batch."""
        for task_id in self._made:
            while not self._cgroups.remove(task_id):
                for pid in self._cgroups.kill(task_id):
                    _reap(pid)
                time.sleep(0.002)
        self._made.clear()
        delete_trees(self._directory / "floor", self._directory / "floor-state", self._uppers)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


async def agent_batch(runtime: OciRuntime, image: Image, count: int, parallel: int) -> tuple[list[float], float]:
    """Latencies, and the seconds of the whole."""
    left, latencies = iter([sleeper(image) for _ in range(count)]), []

    async def work() -> None:
        for request in left:
            begin = time.perf_counter()
            await runtime.start(request)
            latencies.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    async with TaskGroup() as group:
        for _ in range(parallel):
            group.create_task(work())
    return latencies, time.perf_counter() - begin


async def measure(directory: Path, count: int, parallels: list[int], rounds: int) -> dict[str, Any]:
    """Everything, as a table's values."""
    agent, floor = Measured(), Measured()
    image, cgroup = build_image(directory), new_cgroup()
    # The runtime mounts a tmpfs at `run`; the floor's bundles lie on it too, and its upper directories on disk.
    state, run = directory / "state", directory / "run"
    steps = Steps()
    config = RuntimeConfig(state, run, cgroup)
    async with open_runtime(config, on_exit=Ends(), clock=wall_clock_ms, on_step=steps) as runtime:
        try:
            await agent_batch(runtime, image, 3, 1)
            bare = Floor(run, directory / "uppers", image, cgroup + "/floor", next((state / "seccomp").iterdir()))
            for _ in range(rounds):
                for parallel in parallels:
                    steps.enabled = parallel == 1
                    latencies, seconds = await agent_batch(runtime, image, count, parallel)
                    agent.latencies += latencies if parallel == 1 else []
                    agent.rates.setdefault(parallel, []).append(count / seconds)
                    supervision = supervision_kib(run)
                    for task_id in await runtime.recover():
                        await runtime.remove(task_id, keep_logs=False)
                    latencies, seconds = await asyncio.to_thread(bare.batch, count, parallel)
                    floor.latencies += latencies if parallel == 1 else []
                    floor.rates.setdefault(parallel, []).append(count / seconds)
                    await asyncio.to_thread(bare.clear)
            agent.steps = steps.seconds
            return report(agent, floor, supervision)
        finally:
            await runtime.reset()


class Steps:
    """Seconds by step, while enabled: steps of several starts at once would measure the queue."""

    def __init__(self) -> None:
        self.enabled = False
        self.seconds: dict[str, list[float]] = {}

    def __call__(self, name: str, seconds: float) -> None:
        if self.enabled:
            self.seconds.setdefault(name, []).append(seconds)


def supervision_kib(run: Path) -> float:
    """Median PSS of a conmon, KiB."""
    sizes = []
    for bundle in (run / "bundles").iterdir():
        record = read_record(bundle)
        if record is not None:
            rollup = Path(f"/proc/{record.conmon_pid}/smaps_rollup").read_text()
            sizes.append(int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1]))
    return statistics.median(sizes)


def report(agent: Measured, floor: Measured, supervision: float) -> dict[str, Any]:
    """The figures, in milliseconds, containers a second and KiB."""
    return {
        "start_ms": {"agent": _quantiles(agent.latencies), "floor": _quantiles(floor.latencies)},
        "steps_ms": {name: _quantiles(values) for name, values in agent.steps.items()},
        "rates": {
            parallel: {
                "agent": agent.rate(parallel),
                "floor": floor.rate(parallel),
                "ratio": agent.rate(parallel) / floor.rate(parallel),
            }
            for parallel in agent.rates
        },
        "conmon_pss_kib": supervision,
    }


def _quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"p50": statistics.median(ordered) * 1e3, "p99": ordered[int(len(ordered) * 0.99)] * 1e3}


def as_figures(count: int = 40, rounds: int = 2) -> list[Figure]:
    """The figures with a target, of the runtime alone."""
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        measured = asyncio.run(measure(Path(directory), count, [1, 4], rounds))
    latencies = measured["start_ms"]
    found = [Figure(f"start of a container, {each}", latencies["agent"][each], "ms", scope="runtime") for each in _CUTS]
    found += [
        Figure(f"  {name}, p50", values["p50"], "ms", scope="runtime") for name, values in measured["steps_ms"].items()
    ]
    found.append(Figure("  bare overlay + crun run -d, p50", latencies["floor"]["p50"], "ms", scope="floor"))
    ratio = measured["rates"][4]["ratio"]
    found.append(Figure("starts, 4 at once, against bare", ratio, "of its rate", at_least=TARGET, scope="runtime"))
    return found


def print_table(figures: dict[str, Any]) -> None:
    """For people."""
    print(f"{'one at a time, ms':28}{'p50':>8}{'p99':>8}")
    for name, values in {**figures["steps_ms"], **figures["start_ms"]}.items():
        print(f"{name:28}{values['p50']:8.2f}{values['p99']:8.2f}")
    print(f"\n{'at once':>8}{'agent/s':>10}{'floor/s':>10}{'ratio':>8}   (to reach: {TARGET})")
    for parallel, rate in figures["rates"].items():
        print(f"{parallel:8}{rate['agent']:10.1f}{rate['floor']:10.1f}{rate['ratio']:8.2f}")
    print(f"\nsupervision per container: {figures['conmon_pss_kib']:.0f} KiB PSS")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60, help="starts in each batch")
    parser.add_argument("--rounds", type=int, default=3, help="batches of each kind, in turns")
    parser.add_argument("--parallel", default="1,4,8", help="starts at once")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    parallels = [int(text) for text in arguments.parallel.split(",")]
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        figures = asyncio.run(measure(Path(directory), arguments.count, parallels, arguments.rounds))
    print_table(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
