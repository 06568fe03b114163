"""Many replicas at once, the image present: 0 to 50 on one host and back, without and with an overlay network, and 0 to
100 on three hosts. Beside it, in the same call, Docker Swarm where Debian's `docker.io` is installed, and the floor.

    python -m tests.bench.bench_scale

Ours is `shoal service scale` from its start to its end, which is when all tasks run; Swarm's is `docker service scale`
and the time until its own list says that all run. Rounds of ours and of Swarm's alternate.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench import bench_start
from tests.bench.bed import ARCHIVE, IMAGE, Bed, cluster
from tests.bench.figures import Figure, p50, table
from tests.bench.swarm import IMAGE as SWARM_IMAGE
from tests.bench.swarm import Swarm, installed, swarm

REPLICAS = 50
REPLICAS_OF_THREE = 100
ROUNDS = 3
TIMES_SWARM = 10.0
OF_FLOOR = 0.6
FLOOR_STARTS, FLOOR_AT_ONCE = 40, 4


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """All figures of this file."""
    found = []
    with ExitStack() as stack:
        beside = stack.enter_context(_swarm()) if installed() else None
        with cluster(hosts=1) as bed:
            rate, figures = _network(bed, beside, rounds, network=None)
            found += figures
            floor = _floor()
            found.append(Figure("bare overlay + crun run -d, 4 at once", floor, "containers/s", scope="floor"))
            found.append(Figure("0 to 50 against bare starts", rate / floor, "of its rate", at_least=OF_FLOOR))
            _, figures = _network(bed, beside, rounds, network="bench")
            found += figures
    with cluster(hosts=3) as bed:
        found += _three(bed, rounds)
    return found


def _network(bed: Bed, beside: Swarm | None, rounds: int, *, network: str | None) -> tuple[float, list[Figure]]:
    """Replicas a second, and the figures."""
    options = ["--network", network] if network else []
    if network:
        bed.shoal("network", "create", network)
        if beside:
            beside.docker("network", "create", "--driver", "overlay", network)
    bed.shoal("service", "create", "--name", "many", "--replicas", "0", *options, IMAGE)
    if beside:
        beside.docker("service", "create", "--detach", "--name", "many", "--replicas", "0", *options, SWARM_IMAGE)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append((bed.seconds("service", "scale", f"many={REPLICAS}"), bed.seconds("service", "scale", "many=0")))
        if beside:
            theirs.append((beside.up("many", REPLICAS), beside.down("many")))
    bed.shoal("service", "rm", "many")
    if beside:
        beside.docker("service", "rm", "many")
    kind = "overlay" if network else "no network"
    up = p50([each for each, _ in ours])
    return REPLICAS / up, list(_against(kind, ours, theirs))


def _against(kind: str, ours: list[tuple[float, float]], theirs: list[tuple[float, float]]) -> Iterator[Figure]:
    for place, name in enumerate((f"0 to {REPLICAS}", f"{REPLICAS} to 0")):
        mine = p50([each[place] for each in ours])
        yield Figure(f"{name}, {kind}", mine, "s")
        if theirs:
            other = p50([each[place] for each in theirs])
            yield Figure(f"{name}, {kind}, Swarm", other, "s", scope="Docker Swarm")
            target = TIMES_SWARM if place == 0 else None
            yield Figure(f"{name}, {kind}, against Swarm", other / mine, "times as fast", at_least=target)


def _three(bed: Bed, rounds: int) -> Iterator[Figure]:
    bed.shoal("service", "create", "--name", "many", "--replicas", "0", IMAGE)
    times = []
    for _ in range(rounds):
        up = bed.seconds("service", "scale", f"many={REPLICAS_OF_THREE}")
        times.append((up, bed.seconds("service", "scale", "many=0")))
    bed.shoal("service", "rm", "many")
    yield Figure(f"0 to {REPLICAS_OF_THREE}, three hosts on this machine", p50([up for up, _ in times]), "s")
    yield Figure(f"{REPLICAS_OF_THREE} to 0, three hosts on this machine", p50([down for _, down in times]), "s")


def _floor() -> float:
    """Bare starts a second."""
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        measured = asyncio.run(bench_start.measure(Path(directory), FLOOR_STARTS, [1, FLOOR_AT_ONCE], 2))
    rate: float = measured["rates"][FLOOR_AT_ONCE]["floor"]
    return rate


@contextmanager
def _swarm() -> Iterator[Swarm]:
    with swarm(ARCHIVE) as made:
        yield made


def main() -> None:
    """Measure and print."""
    print(table(measure()))
    if not installed():
        print("Docker Swarm was not measured: docker.io is not installed")


if __name__ == "__main__":
    main()
