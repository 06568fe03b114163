"""Which of a frontend's slots leads to which backend. Pure but for the allotment itself, which follows changes.

A new connection takes a slot at random, so a backend gets the share that it has of the slots. Invariants, which the
tests hold it to: the shares of two backends differ by one slot at most; as few slots as that allows change their
backend. A change costs the slots that move, however many backends there are.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shoal.balance import MOST_SLOTS, SLOTS_PER_TASK

SIZES = (64, 512, 4096, 16_384, MOST_SLOTS)
"""Numbers of slots that a frontend may have: a map of the kernel for each."""
SPARE = 2
"""Times the room that is needed, before a smaller number is gone back to: a service whose tasks come and go about the
bound is not spread anew each time."""


@dataclass(frozen=True)
class Slots:
    """Some slots of one frontend: their targets by number, of `size` in all."""

    size: int = 0
    targets: Mapping[int, str] = field(default_factory=dict)


def size_for(backends: int, present: int = 0) -> int:
    """How many slots so many backends get that have `present` now; none without any."""
    if not backends:
        return 0
    least = _least(backends * SLOTS_PER_TASK)
    return min(present, _least(backends * SLOTS_PER_TASK * SPARE)) if present > least else least


def _least(slots: int) -> int:
    return next((size for size in SIZES if slots <= size), SIZES[-1])


class Allotment:
    """The slots of one frontend. Of more backends than the greatest number of slots, some get none."""

    def __init__(self) -> None:
        self._slots: list[str] = []
        self._held: dict[str, list[int]] = {}
        self._ranks: defaultdict[int, dict[str, None]] = defaultdict(dict)

    @property
    def slots(self) -> Slots:
        """All of them."""
        return Slots(len(self._slots), dict(enumerate(self._slots)))

    def change(self, gone: Collection[str], come: Collection[str]) -> tuple[Slots, Slots]:
        """Take backends out and in; the slots that move, as they were and as they are.

        Args:
            gone: some that are in. come: some that are not.
        """
        size = size_for(len(self._held) - len(gone) + len(come), len(self._slots))
        if not gone and not come:
            return Slots(size), Slots(size)
        if size != len(self._slots):
            return self._begin(size, (self._held.keys() - gone) | set(come))
        was: dict[int, str] = {}
        free = [slot for backend in gone for slot in self._drop(backend)]
        for backend in sorted(come):
            self._held[backend] = []
            self._ranks[0][backend] = None
        for slot in free:
            self._move(slot, was)
        while max(self._ranks) - min(self._ranks) > 1:
            richest = next(iter(self._ranks[max(self._ranks)]))
            self._move(self._take_from(richest), was)
        size = len(self._slots)
        return Slots(size, was), Slots(size, {slot: self._slots[slot] for slot in was})

    def _begin(self, size: int, backends: Collection[str]) -> tuple[Slots, Slots]:
        before = self.slots
        ordered = sorted(backends)
        self._slots = [ordered[slot % len(ordered)] for slot in range(size)]
        self._held = {backend: list(range(place, size, len(ordered))) for place, backend in enumerate(ordered)}
        self._ranks.clear()
        for backend, held in self._held.items():
            self._ranks[len(held)][backend] = None
        return before, self.slots

    def _drop(self, backend: str) -> list[int]:
        held = self._held.pop(backend)
        self._unrank(backend, len(held))
        return held

    def _take_from(self, backend: str) -> int:
        slot = self._held[backend].pop()
        self._unrank(backend, len(self._held[backend]) + 1)
        self._ranks[len(self._held[backend])][backend] = None
        return slot

    def _move(self, slot: int, was: dict[int, str]) -> None:
        """Give a slot that nobody holds to one of those that have the fewest."""
        least = min(self._ranks)
        poorest = next(iter(self._ranks[least]))
        self._unrank(poorest, least)
        self._ranks[least + 1][poorest] = None
        self._held[poorest].append(slot)
        was.setdefault(slot, self._slots[slot])
        self._slots[slot] = poorest

    def _unrank(self, backend: str, rank: int) -> None:
        del self._ranks[rank][backend]
        if not self._ranks[rank]:
            del self._ranks[rank]
