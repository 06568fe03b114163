"""The book of a job's runs: which go on, when a new one begins, which are forgotten. Pure.

A run is in the committed status before any task of it is written: so it is begun once, whoever leads.
"""

from collections.abc import Sequence

from manager.planner.timetable import look
from shoal.api.v1.service_pb2 import JobRun, Schedule, ScheduleStatus, ServiceStatus

HISTORY = 3
"""Finished runs of a schedule that are kept unless the spec says otherwise."""


def copies(known: ServiceStatus | None) -> list[JobRun]:
    """The runs as last written, the oldest first, to be changed."""
    found = []
    for run in known.runs if known is not None else ():
        copy = JobRun()
        copy.CopyFrom(run)
        found.append(copy)
    return found


def going(runs: Sequence[JobRun]) -> list[JobRun]:
    """Those that are not finished."""
    return [run for run in runs if run.state == JobRun.RUNNING]


def finish(run: JobRun, state: JobRun.State.ValueType, now_ms: int) -> None:
    """The run has ended so."""
    run.state, run.finished_at_ms = state, now_ms


def begin(runs: list[JobRun], *, revision: int, due_at_ms: int, replaces: bool, now_ms: int) -> None:
    """Add a run, in place of those that go on or beside them."""
    if replaces:
        for run in going(runs):
            finish(run, JobRun.REPLACED, now_ms)
    number = max((run.number for run in runs), default=0) + 1
    runs.append(
        JobRun(number=number, revision=revision, state=JobRun.RUNNING, due_at_ms=due_at_ms, started_at_ms=now_ms)
    )


def follow_schedule(
    runs: list[JobRun], schedule: Schedule, known: ScheduleStatus | None, *, revision: int, now_ms: int
) -> ScheduleStatus:
    """Begin the run that is due, if one is; how the schedule stands then."""
    active = going(runs)
    newest = active[-1].number if active else 0
    found = look(schedule, known, going=newest, now_ms=now_ms, beside=max(0, len(active) - 1))
    if found.start_due_ms:
        begin(runs, revision=revision, due_at_ms=found.start_due_ms, replaces=found.replaces, now_ms=now_ms)
    return found.status


def forget(runs: list[JobRun], keep: int) -> None:
    """Drop the oldest finished runs but so many; the newest run stays, since the next one's number follows from it."""
    finished = [run for run in runs[:-1] if run.state != JobRun.RUNNING]
    newest_finished = bool(runs) and runs[-1].state != JobRun.RUNNING
    for run in finished[: max(0, len(finished) + newest_finished - keep)]:
        runs.remove(run)


def history(schedule: Schedule) -> int:
    """How many finished runs are kept."""
    return schedule.history if schedule.HasField("history") else HISTORY
