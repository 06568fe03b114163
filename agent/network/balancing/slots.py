"""Which of a frontend's slots leads to which backend. Pure.

A new connection takes a slot at random, so a backend gets the share that it has of the slots. Invariants, which the
tests hold it to: the shares of two backends differ by one slot at most; as few slots as that allows change their
backend.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain, repeat

SIZES = (64, 512, 4096)
"""Numbers of slots that a frontend may have: a map of the kernel for each."""
SLOTS_PER_BACKEND = 8
"""At least so many, up to the greatest size: no backend gets an eighth more than another."""


def size_for(backends: int) -> int:
    """How many slots so many backends get."""
    return next((size for size in SIZES if backends * SLOTS_PER_BACKEND <= size), SIZES[-1])


def assign(old: Sequence[str], backends: Collection[str]) -> tuple[str, ...]:
    """The backend of each slot, nearest to `old`; empty without backends.

    Beyond the greatest number of slots, backends that sort last get none.
    """
    if not backends:
        return ()
    ordered = sorted(backends)[: SIZES[-1]]
    size = size_for(len(ordered))
    kept = old if len(old) == size else ("",) * size
    spare = _quotas(kept, ordered, size)
    slots: list[str] = []
    for backend in kept:
        keep = spare.get(backend, 0) > 0
        slots.append(backend if keep else "")
        if keep:
            spare[backend] -= 1
    # In turn, so that neighbours of a share that moves come from all.
    waiting = chain.from_iterable(repeat(backend, spare[backend]) for backend in ordered)
    return tuple(backend or next(waiting) for backend in slots)


def _quotas(kept: Sequence[str], backends: Sequence[str], size: int) -> dict[str, int]:
    """Slots of each: those that have most already get what does not divide evenly."""
    least, more = divmod(size, len(backends))
    held = Counter(kept)
    favoured = set(sorted(backends, key=lambda backend: (-held[backend], backend))[:more])
    return {backend: least + (backend in favoured) for backend in backends}
