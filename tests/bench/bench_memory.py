"""Memory of the daemons, idle and with a hundred containers. Run: python -m tests.bench.bench_memory

RSS counts what is shared with others too; PSS shares it out. The agent is idle twice: freshly started, and after it has
pulled an image and run containers, since what that loaded and left in the allocator stays.
"""

from pathlib import Path

from tests.bench.bench_start import supervision_kib
from tests.bench.rig.bed import IMAGE, Bed, cluster
from tests.bench.rig.figures import Figure, table

CONTAINERS = 100


def measure() -> list[Figure]:
    """All figures of this file."""
    with cluster(hosts=1, warm=False) as bed:
        found = [
            Figure("manager idle, RSS", _of(bed, "manager", "VmRSS"), "MB", at_most=120),
            Figure("agent idle, RSS", _of(bed, "h1", "VmRSS"), "MB", at_most=80),
        ]
        bed.shoal("service", "create", "--name", "many", "--replicas", str(CONTAINERS), IMAGE)
        found += [
            Figure(f"agent with {CONTAINERS} containers, RSS", _of(bed, "h1", "VmRSS"), "MB", at_most=120),
            Figure(f"agent with {CONTAINERS} containers, PSS", _pss(bed.playground.pid("h1")), "MB"),
            Figure(f"manager with {CONTAINERS} containers, RSS", _of(bed, "manager", "VmRSS"), "MB"),
            Figure(
                "supervision of a container, PSS",
                supervision_kib(bed.playground.layout.host(1).run) / 1024,
                "MB",
                at_most=1,
            ),
        ]
        bed.shoal("service", "rm", "many")
        found.append(Figure("agent idle after that, RSS", _of(bed, "h1", "VmRSS"), "MB", at_most=80))
    return found


def _of(bed: Bed, daemon: str, key: str) -> float:
    return _kib(Path(f"/proc/{bed.playground.pid(daemon)}/status"), key) / 1024


def _pss(pid: int) -> float:
    return _kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss") / 1024


def _kib(path: Path, key: str) -> float:
    return float(next(line for line in path.read_text().splitlines() if line.startswith(f"{key}:")).split()[1])


def main() -> None:
    """Measure and print."""
    print(table(measure()))


if __name__ == "__main__":
    main()
