"""Schedules over whole years of several time zones, in virtual time: every due time once, whatever the clocks do."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from manager.planner.orchestrator.run_schedule import MISSED_AFTER_MS, evaluate
from manager.planner.spec.cron import last_due_ms, next_due_ms
from shoal.api.v1.service_pb2 import Schedule, ScheduleStatus

ZONES = ["", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu"]
HOUR = 3_600_000


def at(text: str, zone: str = "") -> int:
    """Milliseconds since the Unix epoch."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone) if zone else UTC).timestamp() * 1000)


def dues(cron: str, zone: str, begin: int, end: int) -> Iterator[int]:
    """All due times after the one and up to the other."""
    found = next_due_ms(cron, zone, begin)
    while found is not None and found <= end:
        yield found
        found = next_due_ms(cron, zone, found)


def local(moment: int, zone: str) -> datetime:
    return datetime.fromtimestamp(moment / 1000, ZoneInfo(zone) if zone else UTC)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", ["30 2 * * *", "0 0 * * *", "59 1 * * *", "0 3 * * *"])
def test_a_daily_one_runs_once_on_each_day_of_two_years(cron: str, zone: str) -> None:
    begin, end = at("2025-12-31T12:00:00", zone), at("2027-12-31T12:00:00", zone)
    days = Counter(local(moment, zone).date() for moment in dues(cron, zone, begin, end))
    desired = [date(2026, 1, 1) + timedelta(days=number) for number in range(730)]
    assert days == dict.fromkeys(desired, 1)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)], ids=["spring", "autumn", "summer"]
)
def test_one_by_the_hour_runs_each_hour_that_there_is(day: str, hours: int) -> None:
    begin = at(f"{day}T00:00:00", "Europe/Berlin") - 1
    end = begin + hours * HOUR
    found = list(dues("0 * * * *", "Europe/Berlin", begin, end))
    assert [moment - found[0] for moment in found] == [number * HOUR for number in range(hours)]
    assert len(list(dues("*/20 * * * *", "Europe/Berlin", begin, end))) == 3 * hours


CRONS = [
    "* * * * *",
    "*/7 3-5 * * *",
    "30 2 * * *",
    "0 0 1,15 * 3",
    "15 */6 * * MON-FRI",
    "0 * * * *",
    "*/30 1-2 * * *",
]


@settings(deadline=None, max_examples=200)
@given(
    cron=st.sampled_from(CRONS),
    zone=st.sampled_from(ZONES),
    # About the changes of both hemispheres, and at any other time.
    moment=st.one_of(
        st.integers(at("2026-03-28T20:00:00"), at("2026-03-29T08:00:00")),
        st.integers(at("2026-10-24T20:00:00"), at("2026-10-25T08:00:00")),
        st.integers(at("2026-04-04T10:00:00"), at("2026-04-05T06:00:00")),
        st.integers(at("2026-11-01T00:00:00"), at("2026-11-01T12:00:00")),
        st.integers(at("2026-01-01T00:00:00"), at("2027-01-01T00:00:00")),
    ),
)
@example("*/7 3-5 * * *", "Australia/Lord_Howe", 1775320200000)
def test_the_last_one_is_the_last_of_those_that_come(cron: str, zone: str, moment: int) -> None:
    every = list(dues(cron, zone, moment - 26 * HOUR, moment))
    if every:
        assert last_due_ms(cron, zone, moment) == every[-1]


def test_nothing_is_left_out_where_clocks_go_back_by_half_an_hour() -> None:
    begin = at("2026-04-05T02:30:00", "Australia/Lord_Howe")
    zone = "Australia/Lord_Howe"
    found = [local(moment, zone) for moment in dues("*/7 3 * * *", zone, begin - 24 * HOUR, begin + 2 * HOUR)]
    found = [each for each in found if each.day == 5]
    assert [(each.hour, each.minute) for each in found] == [(3, minute) for minute in range(0, 60, 7)]


def test_what_ran_in_an_hour_that_comes_twice_is_over_when_it_comes_again() -> None:
    ran = at("2026-10-25T00:30:00")
    for moment in ("00:30:00", "00:59:59", "01:00:00", "01:15:00", "01:30:00", "02:30:00"):
        assert last_due_ms("30 2 * * *", "Europe/Berlin", at(f"2026-10-25T{moment}")) == ran
    assert last_due_ms("30 2 * * *", "Europe/Berlin", ran - 1) == at("2026-10-24T00:30:00")
    for moment in ("00:30:00", "00:45:00", "01:00:00", "01:15:00", "01:30:00", "02:30:00"):
        assert next_due_ms("30 2 * * *", "Europe/Berlin", at(f"2026-10-25T{moment}")) == at("2026-10-26T01:30:00")


@settings(deadline=None, max_examples=100)
@given(
    cron=st.sampled_from(CRONS),
    zone=st.sampled_from(ZONES),
    begin=st.sampled_from([at("2026-03-28T12:00:00"), at("2026-10-24T12:00:00"), at("2026-11-01T00:00:00")]),
    naps=st.lists(st.sampled_from([1_000, 30_000, 60_000, 600_000, HOUR, 5 * HOUR]), min_size=1, max_size=40),
    missed=st.sampled_from([Schedule.SKIP, Schedule.RUN_ONCE]),
)
def test_who_looks_now_and_then_starts_each_at_most_once(
    cron: str, zone: str, begin: int, naps: list[int], missed: Schedule.Missed.ValueType
) -> None:
    """The leader sleeps for a while between looks, as when managers change or are away."""
    schedule = Schedule(cron=cron, timezone=zone, overlap=Schedule.ALLOW, missed=missed)
    status: ScheduleStatus | None = None
    started: list[int] = []
    now = begin
    for nap in [0, *naps]:
        now += nap
        found = evaluate(schedule, status, active_run=0, now_ms=now)
        if found.start_due_ms:
            started.append(found.start_due_ms)
            assert missed == Schedule.RUN_ONCE or now - found.start_due_ms <= MISSED_AFTER_MS
        elif status is not None and list(dues(cron, zone, status.handled_until_ms, now)):
            assert found.status.message.startswith("the last run was missed by ")
        status = found.status
        assert status.next_run_at_ms > now
    assert started == sorted(set(started))
    assert set(started) <= set(dues(cron, zone, begin, now))
