"""Every figure, in one table: `make bench`, or `python -m tests.bench [name …]` for some.

Writes `build/bench.json` too. Takes minutes; wants root and an idle machine. The exit code says nothing about the
targets: a noisy machine is no failure.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import (
    bench_build,
    bench_change,
    bench_console,
    bench_container_start,
    bench_create,
    bench_dns,
    bench_drain,
    bench_engine,
    bench_exec,
    bench_failover,
    bench_files,
    bench_memory,
    bench_network,
    bench_pull,
    bench_run,
    bench_scale,
    bench_start,
    bench_vip,
)
from tests.bench.control_plane import bench_backup, bench_control_plane, bench_planner
from tests.bench.rig.figures import Figure, table
from tests.bench.rig.swarm import installed

BENCHES: Mapping[str, Callable[[], list[Figure]]] = {
    "scale": bench_scale.measure,
    "create": bench_create.measure,
    "memory": bench_memory.measure,
    "start": bench_start.as_figures,
    "container-start": bench_container_start.as_figures,
    "network": bench_network.measure,
    "vip": bench_vip.measure,
    "change": bench_change.measure,
    "exec": bench_exec.measure,
    "run": bench_run.measure,
    "files": bench_files.measure,
    "drain": bench_drain.measure,
    "engine": bench_engine.measure,
    "build": bench_build.measure,
    "failover": bench_failover.measure,
    "names": bench_dns.measure,
    "planner": bench_planner.figures,
    "pull": bench_pull.measure,
    "console": bench_console.measure,
    "control-plane": bench_control_plane.measure,
    "backup": bench_backup.measure,
}
RESULT = Path(__file__).parents[2] / "build" / "bench.json"


def main() -> None:
    """Measure what is named, print the table, write the file."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure Shoal.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all by default")
    names = parser.parse_args().names or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        parser.error(f"{', '.join(unknown)}: unknown benchmark; available: {', '.join(BENCHES)}")
    found: list[Figure] = []
    loads = {}
    for name in names:
        loads[name] = os.getloadavg()[0]
        print(f"{name}: load {loads[name]:.1f} on {os.cpu_count()} processors", file=sys.stderr, flush=True)
        found += BENCHES[name]()
    print(table(found))
    if "scale" in names and not installed():
        print("Docker Swarm was not measured: Debian's docker.io is not installed.")
    save(found, loads)


def save(found: list[Figure], loads: Mapping[str, float]) -> None:
    """Keep the figures with what they were measured on."""
    RESULT.parent.mkdir(exist_ok=True)
    machine = {"processors": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "load_before": loads,
        "figures": [figure.as_dict() for figure in found],
    }
    RESULT.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
