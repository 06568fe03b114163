"""What a schedule asks for now: which due times are past, and whether one of them starts a run. Pure.

`ScheduleStatus.answered_until_ms` is committed together with the run that a due time makes: so each due time makes one
run or none, whoever leads.
"""

from dataclasses import dataclass

from manager.planner.due import last_due_ms, next_due_ms
from shoal.api.v1.service_pb2 import Schedule, ScheduleStatus

LATE_MS = 60_000
"""A due time that is answered later was missed: nobody led, or etcd was away."""

MOST_AT_ONCE = 100
"""Runs of a job that never ends must not pile up for ever, whatever the schedule allows."""


@dataclass(frozen=True)
class Look:
    """The schedule after a look at it.

    Attributes:
        start_due_ms: the due time that makes a run now; 0: none does.
        replaces: the runs that go on are to be stopped.
    """

    status: ScheduleStatus
    start_due_ms: int = 0
    replaces: bool = False


def look(schedule: Schedule, known: ScheduleStatus | None, *, going: int, now_ms: int, beside: int = 0) -> Look:
    """Answer every due time up to now.

    Args:
        known: as last written; of another expression or zone it says nothing.
        going: number of a run that goes on, 0 when none does.
        beside: how many others go on.
    """
    cron, zone = schedule.cron, schedule.timezone
    if known is None or (known.cron, known.timezone) != (cron, zone):
        return Look(_status(schedule, now_ms, "", now_ms))
    first = next_due_ms(cron, zone, known.answered_until_ms)
    if first is None or first > now_ms:
        return Look(_status(schedule, known.answered_until_ms, known.message, now_ms))
    newest = max(first, last_due_ms(cron, zone, now_ms) or 0)
    refusal = _refusal(schedule, now_ms - newest, going, beside)
    status = _status(schedule, newest, refusal, now_ms)
    return Look(status) if refusal else Look(status, newest, schedule.overlap == Schedule.REPLACE)


def _refusal(schedule: Schedule, late_ms: int, going: int, beside: int) -> str:
    if late_ms > LATE_MS and schedule.missed != Schedule.RUN_ONCE:
        return f"the last run was missed by {late_ms // 1000} s"
    if going and schedule.overlap in (Schedule.OVERLAP_UNSPECIFIED, Schedule.FORBID):
        return f"the last run was left out: run {going} still went on"
    if schedule.overlap == Schedule.ALLOW and beside + 1 >= MOST_AT_ONCE:
        return f"the last run was left out: {beside + 1} runs still went on"
    return ""


def _status(schedule: Schedule, answered_until_ms: int, message: str, now_ms: int) -> ScheduleStatus:
    return ScheduleStatus(
        cron=schedule.cron,
        timezone=schedule.timezone,
        answered_until_ms=answered_until_ms,
        next_due_ms=next_due_ms(schedule.cron, schedule.timezone, max(now_ms, answered_until_ms)) or 0,
        message=message,
    )
