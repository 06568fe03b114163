"""Revisions of a later epoch: above all former ones, and the same conditions on etcd's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.cluster.epoch_comparison import is_later
from manager.recover import next_epoch
from manager.store.backend import Compare, CompareTarget, KeyValue
from manager.store.revision_offset import LEAST_STEP, NEVER, compare_in_etcd, in_etcd, next_offset, offset_of
from shoal.api.v1.cluster_pb2 import Epoch

KEY = b"k"
DAY_MS = 86_400_000
ETCDS_BEST = 50_000
"""Writes a second, by etcd's own benchmarks."""


def record(revision: int) -> KeyValue:
    return KeyValue(KEY, b"", revision, revision, 0)


@given(st.integers(1, 1 << 50), st.integers(0, 3650))
def test_an_epoch_begins_above_whatever_a_former_one_wrote_since(revision: int, days: int) -> None:
    written = revision + days * DAY_MS // 1000 * ETCDS_BEST
    assert next_offset(revision, 5, 5 + days * DAY_MS) > written


def test_a_clock_that_is_behind_lowers_nothing() -> None:
    assert next_offset(7, 10 * DAY_MS, DAY_MS) == 7 + LEAST_STEP


@given(st.sampled_from(CompareTarget), st.integers(0, 60), st.integers(0, 30), st.none() | st.integers(1, 20))
def test_a_condition_holds_in_etcd_as_it_does_on_the_stores_revisions(
    target: CompareTarget, revision: int, offset: int, found: int | None
) -> None:
    """Those of a former epoch, up to the offset, hold for no record, and for an absent one neither."""
    condition = Compare(KEY, target, revision)
    in_store = condition.holds(None if found is None else record(found + offset))
    assert compare_in_etcd(condition, offset).holds(None if found is None else record(found)) == in_store


def test_a_revision_of_a_former_epoch_is_none_of_etcds() -> None:
    assert [in_etcd(each, 100) for each in (0, 1, 100, 101)] == [0, NEVER, NEVER, 1]
    assert [in_etcd(each, 0) for each in (0, 1, 100)] == [0, 1, 100]


def test_the_offset_is_the_epochs() -> None:
    assert offset_of([]) == 0
    assert offset_of([Epoch(id="a"), Epoch(id="b", revision_offset=9)]) == 9


@pytest.mark.parametrize("offset", [0, 10**12])
def test_a_recovery_begins_above_what_the_lost_managers_may_have_written(offset: int) -> None:
    former = Epoch(id="a", started_at_ms=DAY_MS, revision_offset=offset)
    lost = offset + 40 + 2 * DAY_MS // 1000 * ETCDS_BEST
    epoch = next_epoch([former], 40, 3 * DAY_MS, lambda: "b")
    assert (epoch.id, epoch.started_at_ms) == ("b", 3 * DAY_MS)
    assert epoch.revision_offset > lost
    assert next_epoch([epoch], 41, 3 * DAY_MS).revision_offset > epoch.revision_offset + 41


def test_a_recovery_is_the_later_epoch_also_by_a_clock_that_is_behind() -> None:
    """Else the manager that continues would leave for one of those that were lost."""
    former = Epoch(id="a", started_at_ms=2 * DAY_MS)
    recovered = next_epoch([former], 40, DAY_MS, lambda: "b")
    assert is_later(recovered, former)
    assert not is_later(former, recovered)
