"""The restart policies of containers, as Docker has them: when an ended run is started again. Pure.

The first restart comes after 100 ms, each further one after twice the time, up to a minute; a run of 10 s begins anew.
"""

from dataclasses import dataclass

from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.restarts.restart_policy import ended_at_ms, ended_by_itself
from shoal.restarts.runs import newest_run

FIRST_DELAY_MS = 100
MAX_DELAY_MS = 60_000
STABLE_MS = 10_000
"""A run of so long is not followed by a longer delay."""


@dataclass(frozen=True)
class ContainerRestartDecision:
    """The next run.

    Attributes:
        due_ms: when it starts, milliseconds since the Unix epoch.
        delay_ms: how long after the end of the one before, for the delay after it.
        attempt: its number since the container's user started it.
    """

    due_ms: int
    delay_ms: int
    attempt: int


def decide_restart(
    policy: ContainerRestart, task: Task, status: TaskStatus | None, *, held: bool, now_ms: int
) -> ContainerRestartDecision | None:
    """What follows an ended run of a container that is to run; None: it is not started again.

    A run that its user asked for and that could not be started at all is not: the caller is told why.

    Args:
        held: its user has stopped it, or sent it a signal.
    """
    task, status = newest_run(task, status)
    if held or status is None or not ended_by_itself(task, status):
        return None
    if status.state == TaskState.REJECTED and not task.attempt:
        return None
    if not _admits(policy, task, status):
        return None
    delay = next_delay_ms(task, status)
    return ContainerRestartDecision(ended_at_ms(task, status, now_ms) + delay, delay, task.attempt + 1)


def next_delay_ms(task: Task, status: TaskStatus) -> int:
    """Milliseconds from the end of a run to the next one."""
    ran_ms = status.at_ms - status.running_at_ms if status.running_at_ms else 0
    if ran_ms >= STABLE_MS or not task.restart_delay_ms:
        return FIRST_DELAY_MS
    return min(2 * task.restart_delay_ms, MAX_DELAY_MS)


def _admits(policy: ContainerRestart, task: Task, status: TaskStatus) -> bool:
    match policy.condition:
        case ContainerRestart.ALWAYS | ContainerRestart.UNLESS_STOPPED:
            return True
        case ContainerRestart.ON_FAILURE:
            exhausted = bool(policy.max_attempts) and task.attempt >= policy.max_attempts
            return status.state != TaskState.COMPLETE and not exhausted
    return False
