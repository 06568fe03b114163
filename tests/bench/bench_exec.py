"""A program in a container that runs: `shoal exec web true`, and how much of its output comes through.

    python -m tests.bench.bench_exec

Beside it, in alternating rounds, `docker exec` where Debian's `docker.io` is installed, which asks a daemon on the same
host where ours asks a manager that asks an agent.
"""

import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.bench.rig.bed import ARCHIVE, IMAGE, SHOAL, Bed, cluster
from tests.bench.rig.figures import Figure, p50, table
from tests.bench.rig.swarm import DOCKER, Swarm, installed, swarm
from tests.bench.rig.swarm import IMAGE as SWARM_IMAGE

ROUNDS = 25
MEGABYTES = 256
MUCH = ("head", "-c", str(MEGABYTES << 20), "/dev/zero")
AT_ONCE = 20


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """All figures of this file."""
    with ExitStack() as stack:
        other = stack.enter_context(swarm(ARCHIVE)) if installed() else None
        bed = stack.enter_context(cluster(hosts=1))
        bed.shoal("service", "create", "--name", "web", IMAGE)
        sides = {"shoal": _ours(bed)}
        if other is not None:
            sides["docker"] = _docker(other)
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds):
            for name, command in sides.items():
                seconds[name].append(_seconds([*command, "true"]) * 1000)
                if not number % 5:
                    rates[name].append(MEGABYTES / _seconds([*command, *MUCH]))
        together = AT_ONCE / _at_once([*sides["shoal"], "true"])
    found = []
    for name in sides:
        found.append(Figure(f"{name} exec … true, p50", p50(seconds[name]), "ms"))
        found.append(Figure(f"{name} exec, output", p50(rates[name]), "MiB/s"))
    found.append(Figure(f"shoal exec … true, {AT_ONCE} at once", together, "a second"))
    return found


def _ours(bed: Bed) -> Sequence[str]:
    return ["env", f"SHOAL_CONFIG={bed.config}", str(SHOAL), "exec", "web"]


def _docker(other: Swarm) -> Sequence[str]:
    other.docker("service", "create", "--detach=false", "--quiet", "--name", "web", SWARM_IMAGE)
    (container,) = other.docker("ps", "--quiet").split()
    return [str(DOCKER), "--host", f"unix://{other.socket}", "exec", container]


def _seconds(command: Sequence[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def _at_once(command: Sequence[str]) -> float:
    begin = time.perf_counter()
    running = [subprocess.Popen(command) for _ in range(AT_ONCE)]
    for process in running:
        assert process.wait() == 0
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    print(table(measure()))


if __name__ == "__main__":
    main()
