"""Assigns a frontend's buckets to its backends. Pure, except for the table itself, which follows changes.

A new connection picks a bucket at random, so a backend gets connections in proportion to its buckets. Invariants,
checked by the tests: the shares of two backends differ by one bucket at most; as few buckets as that allows change
their backend. A change costs in proportion to the buckets that move, however many backends there are.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shoal.networks.load_balancing import BUCKETS_PER_TASK, MAX_BUCKETS

BUCKET_COUNTS = (64, 512, 4096, 16_384, MAX_BUCKETS)
"""Numbers of buckets that a frontend may have: one nftables map for each."""
SHRINK_FACTOR = 2
"""Times the capacity that is needed before the number of buckets is reduced: a service whose size varies around a limit
is not redistributed each time."""


@dataclass(frozen=True)
class Buckets:
    """Some buckets of one frontend: their targets by number, of `size` in total."""

    size: int = 0
    targets: Mapping[int, str] = field(default_factory=dict)


def bucket_count(backends: int, current: int = 0) -> int:
    """The number of buckets for so many backends that have `current` now; 0 without backends."""
    if not backends:
        return 0
    minimum = _smallest_count(backends * BUCKETS_PER_TASK)
    return min(current, _smallest_count(backends * BUCKETS_PER_TASK * SHRINK_FACTOR)) if current > minimum else minimum


def _smallest_count(count: int) -> int:
    return next((size for size in BUCKET_COUNTS if count <= size), BUCKET_COUNTS[-1])


class BucketTable:
    """The buckets of one frontend. With more backends than `MAX_BUCKETS`, some get none."""

    def __init__(self) -> None:
        self._buckets: list[str] = []
        self._buckets_of: dict[str, list[int]] = {}
        self._ranks: defaultdict[int, dict[str, None]] = defaultdict(dict)

    @property
    def buckets(self) -> Buckets:
        """All buckets."""
        return Buckets(len(self._buckets), dict(enumerate(self._buckets)))

    @property
    def backends(self) -> Collection[str]:
        """All backends, those without a bucket too."""
        return self._buckets_of.keys()

    def change(self, removed: Collection[str], added: Collection[str]) -> tuple[Buckets, Buckets]:
        """Remove and add backends; returns the buckets that move, before and after.

        Args:
            removed: backends that have buckets.
            added: backends that have none.
        """
        count = bucket_count(len(self._buckets_of) - len(removed) + len(added), len(self._buckets))
        if not removed and not added:
            return Buckets(count), Buckets(count)
        if count != len(self._buckets):
            return self._rebuild(count, (self._buckets_of.keys() - removed) | set(added))
        previous: dict[int, str] = {}
        free = [bucket for backend in removed for bucket in self._remove(backend)]
        for backend in sorted(added):
            self._buckets_of[backend] = []
            self._ranks[0][backend] = None
        for bucket in free:
            self._reassign(bucket, previous)
        while max(self._ranks) - min(self._ranks) > 1:
            fullest = next(iter(self._ranks[max(self._ranks)]))
            self._reassign(self._take_bucket(fullest), previous)
        count = len(self._buckets)
        return Buckets(count, previous), Buckets(count, {bucket: self._buckets[bucket] for bucket in previous})

    def _rebuild(self, count: int, backends: Collection[str]) -> tuple[Buckets, Buckets]:
        before = self.buckets
        ordered = sorted(backends)
        self._buckets = [ordered[bucket % len(ordered)] for bucket in range(count)]
        self._buckets_of = {backend: list(range(offset, count, len(ordered))) for offset, backend in enumerate(ordered)}
        self._ranks.clear()
        for backend, own in self._buckets_of.items():
            self._ranks[len(own)][backend] = None
        return before, self.buckets

    def _remove(self, backend: str) -> list[int]:
        own = self._buckets_of.pop(backend)
        self._unrank(backend, len(own))
        return own

    def _take_bucket(self, backend: str) -> int:
        bucket = self._buckets_of[backend].pop()
        self._unrank(backend, len(self._buckets_of[backend]) + 1)
        self._ranks[len(self._buckets_of[backend])][backend] = None
        return bucket

    def _reassign(self, bucket: int, previous: dict[int, str]) -> None:
        """Give an unassigned bucket to one of the backends with the fewest."""
        least = min(self._ranks)
        emptiest = next(iter(self._ranks[least]))
        self._unrank(emptiest, least)
        self._ranks[least + 1][emptiest] = None
        self._buckets_of[emptiest].append(bucket)
        previous.setdefault(bucket, self._buckets[bucket])
        self._buckets[bucket] = emptiest

    def _unrank(self, backend: str, rank: int) -> None:
        del self._ranks[rank][backend]
        if not self._ranks[rank]:
            del self._ranks[rank]
