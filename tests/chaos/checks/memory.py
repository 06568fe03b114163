"""Invariant 8: programs do not grow once they are warm. Pure.

Faults end programs so often that few live through a run, so each process is compared with itself, from the end of its
warm-up to its last readings, and what the processes of a program have grown by is added up: a leak is found though no
process lives for long.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tests.chaos.violation import Violation

GROWTH = 0.2
FLOOR_BYTES = 24 << 20
"""Growth below this is that of caches and of the interpreter, whatever the share."""
WARM_UP_SECONDS = 60.0
"""By then a program has imported what it needs, and connected; it has read all records."""
WINDOW_SECONDS = 30.0
"""The median of so long counts, at the end of the warm-up and at the end."""
ETCD = "etcd of "
"""How names of etcds begin. Their memory goes up and down with Go's garbage collection, so that adding up their growth
says nothing; each process is judged alone."""


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
    """

    name: str
    processes: int
    seconds: float
    first_bytes: int
    grown_bytes: int
    most_bytes: tuple[int, int]

    @property
    def bytes_an_hour(self) -> float:
        return self.grown_bytes / self.seconds * 3600


def memory_growth(samples: Iterable[MemorySample]) -> list[MemoryGrowth]:
    """Of each program of which a process lived long enough, by name."""
    found = []
    for name, own in itertools.groupby(sorted(samples, key=_order), key=lambda sample: sample.name):
        lifetimes = [
            lifetime
            for _, each in itertools.groupby(own, key=lambda sample: (sample.pid, sample.load))
            if (lifetime := _lifetime(list(each)))
        ]
        if lifetimes:
            firsts, lasts, seconds = zip(*lifetimes, strict=True)
            grown = [last - first for first, last in zip(firsts, lasts, strict=True)]
            most = max(zip(grown, firsts, strict=True))
            found.append(MemoryGrowth(name, len(lifetimes), sum(seconds), int(median(firsts)), sum(grown), most))
    return found


def check_memory(found: Iterable[MemoryGrowth]) -> Iterator[Violation]:
    """Processes that have grown, and programs whose processes have grown by as much together."""
    for each in found:
        grown, first = each.most_bytes
        if grown > _limit(first):
            yield Violation(8, f"{each.name} grew from {first >> 20} to {first + grown >> 20} MiB")
        elif each.grown_bytes > _limit(each.first_bytes) and not each.name.startswith(ETCD):
            what = f"{each.processes} processes of {each.name} grew by {each.grown_bytes >> 20} MiB together"
            yield Violation(8, f"{what}, from {each.first_bytes >> 20} MiB each, in {each.seconds / 60:.0f} min")


def _limit(first: int) -> float:
    return max(GROWTH * first, FLOOR_BYTES)


def _order(sample: MemorySample) -> tuple[str, int, int, float]:
    return sample.name, sample.pid, sample.load, sample.at


def _lifetime(samples: Sequence[MemorySample]) -> tuple[int, int, float] | None:
    """First and last bytes of a process and the seconds between, after its warm-up, or that of a load; None: it did not
    live so long.
    """
    warm, end = samples[0].at + WARM_UP_SECONDS, samples[-1].at
    if end - warm < 2 * WINDOW_SECONDS:
        return None
    first = [each.resident_bytes for each in samples if warm <= each.at <= warm + WINDOW_SECONDS]
    last = [each.resident_bytes for each in samples if each.at >= end - WINDOW_SECONDS]
    return (int(median(first)), int(median(last)), end - warm) if first else None
