"""Invariant 8: programs do not grow once they are warm. Pure.

Faults end programs so often that few live through a run. So each process is compared with itself, from the end of its
warm-up to its last readings; and of all processes of a program the median growth of a minute is taken, so that a leak
is found though no process lives for long, and a step, such as of a manager that begins to lead, is none.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tests.chaos.fault_kinds import MANAGERS
from tests.chaos.violation import Violation

GROWTH = 0.2
FLOOR_BYTES = 24 << 20
"""Growth below this is that of caches and of the interpreter, whatever the share."""
WARM_UP_SECONDS = 60.0
"""By then a program has imported what it needs, and connected; it has read all records."""
ETCD_WARM_UP_SECONDS = 600.0
"""A manager's etcd keeps the history of so long, and grows until then."""
WINDOW_SECONDS = 30.0
"""The median of so long counts, at the end of the warm-up and at the end."""
CHANGE_BYTES = 2 << 10
REMEMBERED_CHANGES = 10_000
"""A manager remembers so many changes of records, for events: it grows with each of them until then."""
LEAST_MINUTES = 10
"""Of which the median is taken."""
ETCD = "etcd of "
"""How names of etcds begin."""


@dataclass(frozen=True)
class MemorySample:
    """Resident memory of a process at a moment.

    Attributes:
        at: seconds since the Unix epoch.
        name: the program's: "m1", "etcd of m1", "h1".
        pid: tells processes of the program apart.
        load: number of the load that the cluster had: what a process grows by as a thousand agents connect is no leak.
        resident_bytes: VmRSS.
    """

    at: float
    name: str
    pid: int
    resident_bytes: int
    load: int = 0


@dataclass(frozen=True)
class MemoryGrowth:
    """Of one program, over all its processes that lived long enough under one load.

    Attributes:
        processes: how many.
        seconds: observed after their warm-ups, all together.
        first_bytes: at the end of a warm-up, the median of the processes.
        grown_bytes: since then, all together.
        most_bytes: the most that one process has grown by, and from how much.
        steady_bytes: an hour's growth, as of the median minute; 0: too few minutes were observed.
    """

    name: str
    processes: int
    seconds: float
    first_bytes: int
    grown_bytes: int
    most_bytes: tuple[int, int]
    steady_bytes: int = 0


def memory_growth(samples: Iterable[MemorySample]) -> list[MemoryGrowth]:
    """Of each program of which a process lived long enough, by name."""
    found = []
    for name, own in itertools.groupby(sorted(samples, key=_order), key=lambda sample: sample.name):
        lifetimes = [
            lifetime
            for _, each in itertools.groupby(own, key=lambda sample: (sample.pid, sample.load))
            if (lifetime := _warm(list(each)))
        ]
        if lifetimes:
            found.append(_growth(name, lifetimes))
    return found


def _growth(name: str, lifetimes: Sequence[Sequence[MemorySample]]) -> MemoryGrowth:
    ends = [_ends(each) for each in lifetimes]
    minutes = [growth for each in lifetimes for growth in _minutes(each)]
    return MemoryGrowth(
        name=name,
        processes=len(lifetimes),
        seconds=sum(each[-1].at - each[0].at for each in lifetimes),
        first_bytes=int(median(first for first, _ in ends)),
        grown_bytes=sum(last - first for first, last in ends),
        most_bytes=max((last - first, first) for first, last in ends),
        steady_bytes=int(60 * median(minutes)) if len(minutes) >= LEAST_MINUTES else 0,
    )


def check_memory(found: Iterable[MemoryGrowth], changes_an_hour: float = 0.0) -> Iterator[Violation]:
    """Processes that have grown, and programs whose processes grow all the time.

    Args:
        changes_an_hour: of records.
    """
    for each in found:
        grown, first = each.most_bytes
        if grown > _limit(each.name, first, REMEMBERED_CHANGES):
            yield Violation(8, f"{each.name} grew from {first >> 20} to {first + grown >> 20} MiB")
        elif each.steady_bytes > _limit(each.name, each.first_bytes, changes_an_hour):
            what = f"{each.name} grows by {each.steady_bytes >> 20} MiB an hour, from {each.first_bytes >> 20} MiB"
            yield Violation(8, f"{what}: the median of {each.processes} processes in {each.seconds / 60:.0f} min")


def _limit(name: str, first: int, changes: float) -> float:
    remembered = CHANGE_BYTES * changes if name in MANAGERS else 0
    return max(GROWTH * first, FLOOR_BYTES) + remembered


def _order(sample: MemorySample) -> tuple[str, int, int, float]:
    return sample.name, sample.pid, sample.load, sample.at


def _warm(samples: Sequence[MemorySample]) -> Sequence[MemorySample]:
    """Those of a process after its warm-up, or that of a load; empty: it did not live so long."""
    warm_up = ETCD_WARM_UP_SECONDS if samples[0].name.startswith(ETCD) else WARM_UP_SECONDS
    warm = [each for each in samples if each.at >= samples[0].at + warm_up]
    return warm if warm and warm[-1].at - warm[0].at >= 2 * WINDOW_SECONDS else []


def _ends(samples: Sequence[MemorySample]) -> tuple[int, int]:
    """First and last bytes."""
    first = [each.resident_bytes for each in samples if each.at <= samples[0].at + WINDOW_SECONDS]
    last = [each.resident_bytes for each in samples if each.at >= samples[-1].at - WINDOW_SECONDS]
    return int(median(first)), int(median(last))


def _minutes(samples: Sequence[MemorySample]) -> Iterator[float]:
    """By how much it grew from each minute to the next one, bytes."""
    begun = samples[0].at
    minutes = itertools.groupby(samples, key=lambda sample: int((sample.at - begun) // 60))
    medians = [median(each.resident_bytes for each in minute) for _, minute in minutes]
    return (after - before for before, after in itertools.pairwise(medians))
