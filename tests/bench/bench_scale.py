"""Many replicas at once, the image present: 0 to 50 on one host and back, without and with an overlay network, and 0 to
100 on three hosts. Beside it, in the same call, Docker Swarm where Debian's `docker.io` is installed, and the floor.

    python -m tests.bench.bench_scale

Ours is `shoal service scale` from its start to its end, which is when all tasks run; Swarm's is `docker service scale`
and the time until its own list says that all run. Rounds of ours and of Swarm's alternate. Beside the seconds stands
the processor time of everything on each side: command line, daemons, supervisors, runtime, containers.
"""

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import bench_start
from tests.bench.rig.bed import ARCHIVE, IMAGE, Bed, cluster
from tests.bench.rig.figures import Figure, p50, table
from tests.bench.rig.processor_time import Account
from tests.bench.rig.swarm import IMAGE as SWARM_IMAGE
from tests.bench.rig.swarm import Swarm, containers_cgroup, installed, swarm

REPLICAS = 50
REPLICAS_OF_THREE = 100
ROUNDS = 3
TIMES_SWARM = 10.0
OF_FLOOR = 0.6
FLOOR_STARTS, FLOOR_AT_ONCE = 40, 4


@dataclass(frozen=True)
class Step:
    """One way of one side: how long it took, and the processor time of that side meanwhile."""

    seconds: float
    processor: float


@dataclass(frozen=True)
class Side:
    """Ours, or Swarm's: scales the service `many` up and down."""

    up: Callable[[], float]
    down: Callable[[], float]
    account: Account

    def round(self) -> tuple[Step, Step]:
        """Up and down."""
        return self._step(self.up), self._step(self.down)

    def _step(self, work: Callable[[], float]) -> Step:
        with self.account.inside():
            before = self.account.seconds()
            return Step(work(), self.account.seconds() - before)


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """All figures of this file."""
    found = []
    with ExitStack() as stack:
        beside = stack.enter_context(_swarm()) if installed() else None
        with _cluster() as (bed, account):
            rate, figures = _network(bed, account, beside, rounds, network=None)
            found += figures
            floor = _floor()
            found.append(Figure("bare overlay + crun run -d, 4 at once", floor, "containers/s", scope="floor"))
            found.append(Figure("0 to 50 against bare starts", rate / floor, "of its rate", at_least=OF_FLOOR))
            _, figures = _network(bed, account, beside, rounds, network="bench")
            found += figures
    with cluster(hosts=3) as bed:
        found += _three(bed, rounds)
    return found


def _network(
    bed: Bed, account: Account, beside: tuple[Swarm, Account] | None, rounds: int, *, network: str | None
) -> tuple[float, list[Figure]]:
    """Replicas a second, and the figures."""
    other = beside[0] if beside else None
    options = ["--network", network] if network else []
    if network:
        bed.shoal("network", "create", network)
        if other:
            other.docker("network", "create", "--driver", "overlay", network)
    bed.shoal("service", "create", "--name", "many", "--replicas", "0", *options, IMAGE)
    if other:
        other.docker("service", "create", "--detach", "--name", "many", "--replicas", "0", *options, SWARM_IMAGE)
    sides = [Side(lambda: _scale(bed, REPLICAS), lambda: _scale(bed, 0), account)]
    if beside:
        docker = beside[0]
        sides.append(Side(lambda: docker.up("many", REPLICAS), lambda: docker.down("many"), beside[1]))
    rows = [[side.round() for side in sides] for _ in range(rounds)]
    bed.shoal("service", "rm", "many")
    if other:
        other.docker("service", "rm", "many")
    kind = "overlay" if network else "no network"
    figures = list(_against(kind, *([row[place] for row in rows] for place in range(len(sides)))))
    return REPLICAS / p50([row[0][0].seconds for row in rows]), figures


def _scale(bed: Bed, replicas: int) -> float:
    return bed.seconds("service", "scale", f"many={replicas}")


def _against(
    kind: str, ours: Sequence[tuple[Step, Step]], theirs: Sequence[tuple[Step, Step]] = ()
) -> Iterator[Figure]:
    for place, name in enumerate((f"0 to {REPLICAS}", f"{REPLICAS} to 0")):
        mine, busy = _medians([each[place] for each in ours])
        yield Figure(f"{name}, {kind}", mine, "s")
        yield Figure("  processor time of each", busy / REPLICAS * 1000, "ms")
        if theirs:
            other, its = _medians([each[place] for each in theirs])
            yield Figure(f"{name}, {kind}, Swarm", other, "s", scope="Docker Swarm")
            yield Figure("  processor time of each", its / REPLICAS * 1000, "ms", scope="Docker Swarm")
            target = TIMES_SWARM if place == 0 else None
            yield Figure(f"{name}, {kind}, against Swarm", other / mine, "times as fast", at_least=target)
            yield Figure("  in processor time", its / busy, "times less")


def _medians(steps: Sequence[Step]) -> tuple[float, float]:
    return p50([step.seconds for step in steps]), p50([step.processor for step in steps])


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
def _cluster() -> Iterator[tuple[Bed, Account]]:
    with ExitStack() as stack:
        account = Account("ours")
        stack.callback(account.close)
        with account.inside():
            bed = stack.enter_context(cluster(hosts=1))
        (node,) = json.loads(bed.shoal("node", "ls", "--format", "json"))
        account.count(f"/shoal/{node['id']}")
        yield bed, account


@contextmanager
def _swarm() -> Iterator[tuple[Swarm, Account]]:
    with ExitStack() as stack:
        account = Account("swarm")
        account.count(containers_cgroup())
        stack.callback(account.close)
        with account.inside():
            made = stack.enter_context(swarm(ARCHIVE))
        yield made, account


def main() -> None:
    """Measure and print."""
    print(table(measure()))
    if not installed():
        print("Docker Swarm was not measured: docker.io is not installed")


if __name__ == "__main__":
    main()
