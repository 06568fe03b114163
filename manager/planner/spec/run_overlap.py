"""Whether a schedule admits a run beside those that are active. Pure."""

from shoal.api.v1.service_pb2 import Schedule

MAX_CONCURRENT_RUNS = 100
"""An upper bound whatever the schedule allows, so that the runs of a job that never ends do not pile up."""


def overlap_reason(schedule: Schedule, *, active_run: int, other_runs: int) -> str:
    """Why no run may start beside those that are active; empty: one may.

    Args:
        active_run: number of the newest active run, 0 when none is.
        other_runs: how many others are active.
    """
    if active_run and schedule.overlap in (Schedule.OVERLAP_UNSPECIFIED, Schedule.FORBID):
        return f"run {active_run} was still active"
    if schedule.overlap == Schedule.ALLOW and other_runs + 1 >= MAX_CONCURRENT_RUNS:
        return f"{other_runs + 1} runs were still active"
    return ""
