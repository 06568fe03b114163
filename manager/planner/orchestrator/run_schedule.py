"""Evaluates a schedule: which due times have passed, and whether one of them starts a run. Pure.

`ScheduleStatus.handled_until_ms` is committed together with the run that a due time starts, so each due time starts one
run or none, whichever manager leads.
"""

from dataclasses import dataclass

from manager.planner.spec.cron import last_due_ms, next_due_ms
from manager.planner.spec.run_overlap import overlap_reason
from shoal.api.v1.service_pb2 import Schedule, ScheduleStatus

MISSED_AFTER_MS = 60_000
"""A due time that is handled later than that was missed: no manager led, or etcd was unavailable."""


@dataclass(frozen=True)
class ScheduleDecision:
    """What follows from a schedule now.

    Attributes:
        start_due_ms: the due time that starts a run now; 0: none does.
        replaces: the active runs are to be stopped.
    """

    status: ScheduleStatus
    start_due_ms: int = 0
    replaces: bool = False


def evaluate(
    schedule: Schedule, known: ScheduleStatus | None, *, active_run: int, now_ms: int, other_runs: int = 0
) -> ScheduleDecision:
    """Handle every due time up to now.

    Args:
        known: as last written; it does not count when it is of another expression or zone.
        active_run: number of an active run, 0 when none is.
        other_runs: how many others are active.
    """
    cron, zone = schedule.cron, schedule.timezone
    if known is None or (known.cron, known.timezone) != (cron, zone):
        return ScheduleDecision(_status(schedule, now_ms, "", now_ms))
    first = next_due_ms(cron, zone, known.handled_until_ms)
    if first is None or first > now_ms:
        return ScheduleDecision(_status(schedule, known.handled_until_ms, known.message, now_ms))
    newest = max(first, last_due_ms(cron, zone, now_ms) or 0)
    skip_reason = _skip_reason(schedule, now_ms - newest, active_run, other_runs)
    status = _status(schedule, newest, skip_reason, now_ms)
    return (
        ScheduleDecision(status)
        if skip_reason
        else ScheduleDecision(status, newest, schedule.overlap == Schedule.REPLACE)
    )


def _skip_reason(schedule: Schedule, late_ms: int, active_run: int, other_runs: int) -> str:
    if late_ms > MISSED_AFTER_MS and schedule.missed != Schedule.RUN_ONCE:
        return f"the last run was missed by {late_ms // 1000} s"
    reason = overlap_reason(schedule, active_run=active_run, other_runs=other_runs)
    return f"the last run was skipped: {reason}" if reason else ""


def _status(schedule: Schedule, handled_until_ms: int, message: str, now_ms: int) -> ScheduleStatus:
    return ScheduleStatus(
        cron=schedule.cron,
        timezone=schedule.timezone,
        handled_until_ms=handled_until_ms,
        next_run_at_ms=next_due_ms(schedule.cron, schedule.timezone, max(now_ms, handled_until_ms)) or 0,
        message=message,
    )
