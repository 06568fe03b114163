"""Records of the node's cache of builds: which go, and what their file holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.build.cache_records import (
    DAY_MS,
    Blob,
    CacheFilters,
    CacheRecord,
    PruneRule,
    encode_records,
    parse_records,
    parse_until,
    to_prune,
)
from shoal.api.v1.builds_pb2 import BuildCacheRow
from shoal.api.v1.engine_pb2 import Filter
from shoal.errors import InvalidInput

NOW = 100 * DAY_MS


def record(name: str, days: float = 0, size: int = 10, blob: Blob | None = None) -> CacheRecord:
    """One that was used so many days ago."""
    return CacheRecord(name, f"sha256:{name}", f"RUN {name}", size, 1, NOW - round(days * DAY_MS), blob=blob)


def row(of: CacheRecord, *, in_use: bool = False) -> BuildCacheRow:
    return BuildCacheRow(
        id=of.key, type="regular", description=of.description, bytes=of.size, used_at_ms=of.used_at_ms, in_use=in_use
    )


def rule(*, everything: bool = False, since: int = 0, keep: int = 0) -> PruneRule:
    return PruneRule(everything, since, keep, lambda each: True)


def names(*records: CacheRecord, of: PruneRule, used: str = "") -> str:
    chosen = to_prune([*map(row, records)], of, lambda each: each.id in used, NOW)
    return "".join(each.id for each in chosen)


def test_what_was_not_used_for_two_days_goes_the_oldest_first() -> None:
    records = record("a", 1), record("b", 3), record("c", 9), record("d", 5)
    assert names(*records, of=rule()) == "cdb"
    assert names(*records, of=rule(everything=True)) == "cdba"
    assert names(*records, of=rule(), used="c") == "db"
    assert names(*records, of=rule(since=NOW - 4 * DAY_MS)) == "cd"


def test_bytes_to_keep_are_those_used_last() -> None:
    records = record("a", 1, 5), record("b", 3, 5), record("c", 9, 5)
    assert names(*records, of=rule(everything=True, keep=10)) == "c"
    assert names(*records, of=rule(everything=True, keep=9)) == "cb"
    assert names(*records, of=rule(everything=True, keep=100)) == ""


@given(
    st.lists(
        st.builds(
            CacheRecord,
            *(st.text() for _ in range(3)),
            *(st.integers(0, 2**50) for _ in range(4)),
            st.none() | st.builds(Blob, st.text(), st.text(), st.integers()),
        )
    )
)
def test_records_are_as_they_were_written(records: list[CacheRecord]) -> None:
    assert parse_records(encode_records(records)) == records


@pytest.mark.parametrize(
    ("text", "moment"), [("24h", NOW - DAY_MS), ("1h30m", NOW - 5_400_000), ("1700000000", 1_700_000_000_000)]
)
def test_moments(text: str, moment: int) -> None:
    assert parse_until(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "x", "24", "1d", "h", "-1h", "1h 2m"])
def test_moments_that_are_none(text: str) -> None:
    if text == "24":
        assert parse_until(text, NOW) == 24_000
        return
    with pytest.raises(InvalidInput, match="invalid filter until"):
        parse_until(text, NOW)


@pytest.mark.parametrize(
    ("given_filters", "expected"),
    [
        ([], "ab"),
        ([("id", "a")], "a"),
        ([("id", "a"), ("id", "b")], "ab"),
        ([("description", "RUN b")], "b"),
        ([("type", "exec.cachemount")], ""),
        ([("inuse", "true")], "b"),
        ([("type", "regular"), ("inuse", "false")], "a"),
    ],
)
def test_filters(given_filters: list[tuple[str, str]], expected: str) -> None:
    filters = CacheFilters([Filter(key=key, value=value) for key, value in given_filters], NOW)
    rows = [row(record("a")), row(record("b"), in_use=True)]
    assert "".join(each.id for each in filter(filters.matches, rows)) == expected


def test_a_filter_that_is_none() -> None:
    with pytest.raises(InvalidInput, match='invalid filter "size"'):
        CacheFilters([Filter(key="size", value="1")], NOW)
    assert CacheFilters([Filter(key="until", value="1h")], NOW).used_before_ms == NOW - 3_600_000
