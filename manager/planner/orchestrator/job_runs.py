"""A job's runs: which are active, when a new one begins, which are dropped from the history. Pure.

A run is in the committed status before any of its tasks is written, so it begins once, whichever manager leads.
"""

from collections.abc import Sequence

from manager.planner.orchestrator.run_schedule import evaluate
from manager.planner.spec.run_overlap import overlap_reason
from shoal.api.v1.service_pb2 import JobRun, Schedule, ScheduleStatus, ServiceStatus

DEFAULT_HISTORY_LIMIT = 3
"""Finished runs of a schedule that are kept unless the spec says otherwise."""


def copies(known: ServiceStatus | None) -> list[JobRun]:
    """Copies of the runs as last written, the oldest first."""
    found = []
    for run in known.runs if known is not None else ():
        copy = JobRun()
        copy.CopyFrom(run)
        found.append(copy)
    return found


def active_runs(runs: Sequence[JobRun]) -> list[JobRun]:
    """Those that are not finished."""
    return [run for run in runs if run.state == JobRun.RUNNING]


def finish(run: JobRun, state: JobRun.State.ValueType, now_ms: int) -> None:
    """End the run with this state."""
    run.state, run.finished_at_ms = state, now_ms


def add_run(runs: list[JobRun], *, revision: int, due_at_ms: int, replaces: bool, now_ms: int) -> None:
    """Add a run, beside the active ones or in place of them."""
    if replaces:
        for run in active_runs(runs):
            finish(run, JobRun.REPLACED, now_ms)
    number = max((run.number for run in runs), default=0) + 1
    runs.append(
        JobRun(number=number, revision=revision, state=JobRun.RUNNING, scheduled_at_ms=due_at_ms, started_at_ms=now_ms)
    )


def follow_schedule(
    runs: list[JobRun], schedule: Schedule, known: ScheduleStatus | None, *, revision: int, now_ms: int
) -> ScheduleStatus:
    """Add the run that is due, if one is; the status of the schedule after that."""
    active = active_runs(runs)
    newest = active[-1].number if active else 0
    found = evaluate(schedule, known, active_run=newest, now_ms=now_ms, other_runs=max(0, len(active) - 1))
    if found.start_due_ms:
        add_run(runs, revision=revision, due_at_ms=found.start_due_ms, replaces=found.replaces, now_ms=now_ms)
    return found.status


def follow_request(runs: list[JobRun], schedule: Schedule, *, revision: int, now_ms: int) -> str:
    """Add the run that a user has requested; why none was added, empty when one was."""
    active = active_runs(runs)
    newest, others = (active[-1].number if active else 0), max(0, len(active) - 1)
    if reason := overlap_reason(schedule, active_run=newest, other_runs=others):
        return f"the requested run was skipped: {reason}"
    add_run(runs, revision=revision, due_at_ms=0, replaces=schedule.overlap == Schedule.REPLACE, now_ms=now_ms)
    return ""


def drop_finished(runs: list[JobRun], limit: int) -> None:
    """Drop the oldest finished runs but so many; the newest run stays, since the next one's number follows from it."""
    finished = [run for run in runs[:-1] if run.state != JobRun.RUNNING]
    newest_finished = bool(runs) and runs[-1].state != JobRun.RUNNING
    for run in finished[: max(0, len(finished) + newest_finished - limit)]:
        runs.remove(run)


def history_limit(schedule: Schedule) -> int:
    """How many finished runs are kept."""
    return schedule.history if schedule.HasField("history") else DEFAULT_HISTORY_LIMIT
