"""Which of a frontend's slots leads to which backend. Pure but for the allotment itself, which follows changes.

A new connection takes a slot at random, so a backend gets the share that it has of the slots. Invariants, which the
tests hold it to: the shares of two backends differ by one slot at most; as few slots as that allows change their
backend. A change costs the slots that move, however many backends there are.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shoal.networks.load_balancing import BUCKETS_PER_TASK, MAX_BUCKETS

BUCKET_COUNTS = (64, 512, 4096, 16_384, MAX_BUCKETS)
"""Numbers of slots that a frontend may have: a map of the kernel for each."""
SHRINK_FACTOR = 2
"""Times the room that is needed, before a smaller number is gone back to: a service whose tasks come and go about the
bound is not spread anew each time."""


@dataclass(frozen=True)
class Buckets:
    """Some slots of one frontend: their targets by number, of `size` in all."""

    size: int = 0
    targets: Mapping[int, str] = field(default_factory=dict)


def bucket_count(backends: int, current: int = 0) -> int:
    """How many slots so many backends get that have `current` now; none without any."""
    if not backends:
        return 0
    minimum = _smallest_count(backends * BUCKETS_PER_TASK)
    return min(current, _smallest_count(backends * BUCKETS_PER_TASK * SHRINK_FACTOR)) if current > minimum else minimum


def _smallest_count(count: int) -> int:
    return next((size for size in BUCKET_COUNTS if count <= size), BUCKET_COUNTS[-1])


class BucketTable:
    """The slots of one frontend. Of more backends than the greatest number of slots, some get none."""

    def __init__(self) -> None:
        self._buckets: list[str] = []
        self._buckets_of: dict[str, list[int]] = {}
        self._ranks: defaultdict[int, dict[str, None]] = defaultdict(dict)

    @property
    def buckets(self) -> Buckets:
        """All of them."""
        return Buckets(len(self._buckets), dict(enumerate(self._buckets)))

    def change(self, removed: Collection[str], added: Collection[str]) -> tuple[Buckets, Buckets]:
        """Take backends out and in; the slots that move, as they were and as they are.

        Args:
            removed: some that are in. come: some that are not.
        """
        count = bucket_count(len(self._buckets_of) - len(removed) + len(added), len(self._buckets))
        if not removed and not added:
            return Buckets(count), Buckets(count)
        if count != len(self._buckets):
            return self._rebuild(count, (self._buckets_of.keys() - removed) | set(added))
        previous: dict[int, str] = {}
        free = [slot for backend in removed for slot in self._remove(backend)]
        for backend in sorted(added):
            self._buckets_of[backend] = []
            self._ranks[0][backend] = None
        for bucket in free:
            self._reassign(bucket, previous)
        while max(self._ranks) - min(self._ranks) > 1:
            fullest = next(iter(self._ranks[max(self._ranks)]))
            self._reassign(self._take_bucket(fullest), previous)
        count = len(self._buckets)
        return Buckets(count, previous), Buckets(count, {slot: self._buckets[slot] for slot in previous})

    def _rebuild(self, count: int, backends: Collection[str]) -> tuple[Buckets, Buckets]:
        before = self.buckets
        ordered = sorted(backends)
        self._buckets = [ordered[bucket % len(ordered)] for bucket in range(count)]
        self._buckets_of = {backend: list(range(offset, count, len(ordered))) for offset, backend in enumerate(ordered)}
        self._ranks.clear()
        for backend, held in self._buckets_of.items():
            self._ranks[len(held)][backend] = None
        return before, self.buckets

    def _remove(self, backend: str) -> list[int]:
        held = self._buckets_of.pop(backend)
        self._unrank(backend, len(held))
        return held

    def _take_bucket(self, backend: str) -> int:
        slot = self._buckets_of[backend].pop()
        self._unrank(backend, len(self._buckets_of[backend]) + 1)
        self._ranks[len(self._buckets_of[backend])][backend] = None
        return slot

    def _reassign(self, bucket: int, previous: dict[int, str]) -> None:
        """Give a slot that nobody holds to one of those that have the fewest."""
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
