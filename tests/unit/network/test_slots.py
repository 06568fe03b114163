"""How slots are shared out among backends: evenly, and with as few moves as that allows."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agent.network.balancing.slots import SIZES, assign, size_for

BACKENDS = st.sets(st.integers(0, 1 << 12).map(lambda number: f"10.0.{number >> 8}.{number & 255}"), max_size=120)


def shares(slots: tuple[str, ...]) -> Counter[str]:
    return Counter(slots)


@given(BACKENDS)
def test_every_backend_gets_its_share(backends: set[str]) -> None:
    slots = assign((), backends)
    assert len(slots) == (size_for(len(backends)) if backends else 0)
    assert set(slots) == backends
    counts = shares(slots).values()
    assert not counts or max(counts) - min(counts) <= 1


@given(BACKENDS, BACKENDS)
def test_a_change_is_as_even_as_a_beginning_and_moves_as_little_as_that_allows(old: set[str], new: set[str]) -> None:
    before = assign((), old)
    after = assign(before, new)
    assert set(after) == new
    counts = shares(after)
    assert not counts or max(counts.values()) - min(counts.values()) <= 1
    if len(before) == len(after) and new:
        least, more = divmod(len(after), len(new))
        held = sorted((shares(before)[each] for each in new), reverse=True)
        most_kept = sum(min(count, least + (place < more)) for place, count in enumerate(held))
        assert sum(a == b for a, b in zip(before, after, strict=True)) == most_kept


def test_the_same_backends_move_nothing() -> None:
    slots = assign((), {f"10.0.0.{number}" for number in range(7)})
    assert assign(slots, set(slots)) == slots


def test_the_one_that_goes_gives_up_its_slots_and_no_other_moves() -> None:
    before = assign((), {f"10.0.0.{number}" for number in range(1, 8)})
    after = assign(before, set(before) - {"10.0.0.3"})
    moved = {old for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {"10.0.0.3"}


def test_more_backends_than_slots_still_get_an_assignment() -> None:
    slots = assign((), {f"10.{number >> 8}.{number & 255}.1" for number in range(SIZES[-1] + 50)})
    assert len(slots) == len(set(slots)) == SIZES[-1]
