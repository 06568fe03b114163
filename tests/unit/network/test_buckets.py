"""How slots are shared out among backends: evenly, and with as few moves as that allows."""

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.balancing.buckets import BUCKET_COUNTS, BucketTable, bucket_count
from shoal.networks.load_balancing import MAX_EVEN_TASKS

BACKENDS = st.sets(st.integers(0, 1 << 12).map(lambda number: f"10.0.{number >> 8}.{number & 255}"), max_size=120)


def backend(number: int) -> str:
    return f"10.{number >> 8}.{number & 255}.1"


def beginning(backends: set[str]) -> BucketTable:
    made = BucketTable()
    made.change(set(), backends)
    return made


def is_even(slots: Mapping[int, str]) -> bool:
    counts = Counter(slots.values()).values()
    return not counts or max(counts) - min(counts) <= 1


@given(BACKENDS)
def test_every_backend_gets_its_share(backends: set[str]) -> None:
    slots = beginning(backends).buckets
    assert slots.size == len(slots.targets) == bucket_count(len(backends), current=0)
    assert set(slots.targets.values()) == backends
    assert is_even(slots.targets)


@given(BACKENDS, st.lists(st.tuples(BACKENDS, st.integers(0, 40)), max_size=4))
def test_a_change_is_as_even_as_a_beginning_and_moves_as_little_as_that_allows(
    first: set[str], changes: list[tuple[set[str], int]]
) -> None:
    allotment, known = beginning(first), first
    for come, leaving in changes:
        gone = set(sorted(known)[:leaving])
        come -= known
        known = known - gone | come
        before = allotment.buckets
        was, now = allotment.change(gone, come)
        after = allotment.buckets
        assert set(after.targets.values()) == known and is_even(after.targets)
        assert {**before.targets, **was.targets} == before.targets
        if before.size != after.size:
            assert (was, now) == (before, after)
            continue
        assert {**before.targets, **now.targets} == after.targets and was.targets.keys() == now.targets.keys()
        if known:
            least, more = divmod(after.size, len(known))
            shares = Counter(before.targets.values())
            held = sorted((shares[each] for each in known), reverse=True)
            most_kept = sum(min(count, least + (place < more)) for place, count in enumerate(held))
            assert sum(before.targets[slot] == target for slot, target in after.targets.items()) == most_kept


def test_the_one_that_goes_gives_up_its_slots_and_no_other_moves() -> None:
    allotment = beginning({backend(number) for number in range(1000)})
    was, now = allotment.change({backend(3)}, set())
    assert set(was.targets.values()) == {backend(3)} and len(now.targets) == len(was.targets) <= 17


def test_one_that_takes_the_place_of_another_gets_its_slots() -> None:
    allotment = beginning({backend(number) for number in range(7)})
    was, now = allotment.change({backend(3)}, {backend(99)})
    assert set(was.targets.values()) == {backend(3)}
    assert list(now.targets.values()).count(backend(99)) >= len(was.targets) - 1


@pytest.mark.parametrize("backends", [8, 9, 512, 513, 1000, 2049, 3000, MAX_EVEN_TASKS])
def test_no_share_is_an_eighth_greater_than_another(backends: int) -> None:
    counts = Counter(beginning({backend(number) for number in range(backends)}).buckets.targets.values())
    assert len(counts) == backends
    assert max(counts.values()) <= min(counts.values()) * 9 / 8


def test_a_service_about_a_bound_keeps_its_number_of_slots() -> None:
    allotment = beginning({backend(number) for number in range(512)})
    assert allotment.buckets.size == 4096
    allotment.change(set(), {backend(512)})
    assert allotment.buckets.size == 16_384
    allotment.change({backend(number) for number in range(200)}, set())
    assert allotment.buckets.size == 16_384
    allotment.change({backend(number) for number in range(200, 257)}, set())
    assert allotment.buckets.size == 4096


def test_more_backends_than_slots_still_get_an_allotment() -> None:
    allotment = beginning({backend(number) for number in range(BUCKET_COUNTS[-1] + 50)})
    slots = allotment.buckets.targets
    assert len(slots) == len(set(slots.values())) == BUCKET_COUNTS[-1]
    gone = {backend(number) for number in range(100)}
    allotment.change(gone, set())
    assert len(set(allotment.buckets.targets.values())) == BUCKET_COUNTS[-1] - 50
