"""The restart policy: when an ended task gets a successor. Condition, delay, attempts in a window, backoff."""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from shoal.api.v1.service_pb2 import RestartPolicy
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.restarts.runs import MAX_TIMES, End, newest_run, slot_runs

DEFAULT_DELAY_MS = 5_000
# A crash loop restarts ever more slowly, up to this.
MAX_DELAY_MS = 5 * 60_000
# A delay of 0 grows from this in a crash loop.
_FIRST_BACKOFF_MS = 1_000
# A task that ran for so long is not in a crash loop.
STABLE_MS = 60_000

# Of a wait in a crash loop, at most so much more: so that what failed together does not come back together.
_JITTER = 0.2

# Clocks of managers that lead one after the other may differ by less.
_MAX_CLOCK_DIFFERENCE_MS = 60_000

_SELF_ENDED = frozenset({TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED})


@dataclass(frozen=True)
class RestartDecision:
    """What the restart policy decides after a task has ended.

    Attributes:
        due_ms: when the successor is to be created, milliseconds since the Unix epoch; None: never.
        attempt: of the successor.
        problem: why there is none, one line for the user; empty when none is to be.
    """

    due_ms: int | None
    attempt: int = 0
    problem: str = ""


def ended_by_itself(task: Task, status: TaskStatus | None) -> bool:
    """It ended neither because it was stopped nor because its node was lost."""
    return status is not None and status.state in _SELF_ENDED and task.state != TaskState.ORPHANED


def job_restart_policy(policy: RestartPolicy) -> RestartPolicy:
    """The policy as it applies to a job: a task that has completed is never started again."""
    changed = RestartPolicy()
    changed.CopyFrom(policy)
    if changed.condition != RestartPolicy.NONE:
        changed.condition = RestartPolicy.ON_FAILURE
    return changed


def delay_ms(policy: RestartPolicy, attempt: int, task_id: str) -> int:
    """Milliseconds from the end of a task with this attempt to its successor: doubles with each attempt.

    In a crash loop up to a fifth more, by the task's id: the same task always waits as long.
    """
    base = policy.delay_ms if policy.HasField("delay_ms") else DEFAULT_DELAY_MS
    if attempt == 0:
        return base
    delay = max(base, min(MAX_DELAY_MS, max(base, _FIRST_BACKOFF_MS) << min(attempt, 20)))
    return delay + int(delay * _JITTER * crc32(task_id.encode()) / (1 << 32))


def next_attempt(task: Task, status: TaskStatus | None) -> int:
    """The attempt of the successor of an ended task."""
    task, status = newest_run(task, status)
    return _streak(task, status) + 1 if ended_by_itself(task, status) else 0


def decide(policy: RestartPolicy, ends: Sequence[End], *, now_ms: int) -> RestartDecision:
    """What follows the newest of a slot's ended tasks, which is still wanted.

    Args:
        ends: the slot's ended tasks of the same template, the oldest first; not empty. Each restart by their nodes
            counts as a successor, and so do those before the first of them (`Task.restarted_at_ms`).
        now_ms: milliseconds since the Unix epoch; an end that an agent dates later counts as now.
    """
    ends = slot_runs(ends)
    task, status = ends[-1]
    if status is None or not ended_by_itself(task, status):
        return RestartDecision(now_ms)
    if policy.condition == RestartPolicy.NONE:
        return RestartDecision(
            None, problem="" if status.state == TaskState.COMPLETE else _give_up_problem(task, status, 0)
        )
    if policy.condition == RestartPolicy.ON_FAILURE and status.state == TaskState.COMPLETE:
        return RestartDecision(None)
    restarts = _restarts(policy, ends, now_ms)
    if policy.max_attempts and restarts >= policy.max_attempts:
        return RestartDecision(None, problem=_give_up_problem(task, status, restarts))
    streak = _streak(task, status)
    return RestartDecision(ended_at_ms(task, status, now_ms) + delay_ms(policy, streak, task.id), streak + 1)


def counted_restarts(ends: Sequence[End]) -> tuple[int, ...]:
    """`Task.restarted_at_ms` of the slot's next task.

    Args:
        ends: the slot's ended tasks of the same template, the oldest first.
    """
    return tuple(task.created_at_ms for task, _ in slot_runs(ends) if task.attempt)[-MAX_TIMES:]


def ended_at_ms(task: Task, status: TaskStatus, now_ms: int) -> int:
    """When the task ended, by the manager's clock as far as that is known. Milliseconds since the Unix epoch."""
    if task.created_at_ms > now_ms + _MAX_CLOCK_DIFFERENCE_MS:
        # The manager's clock was set back since: what it said then is not waited for.
        return status.at_ms if status.at_ms <= now_ms else 0
    # An agent's clock may be off: no end is before the task was created, and one in the future is estimated by
    # the time for which it ran, else it would move with `now_ms` and never be due.
    if status.at_ms <= now_ms:
        return max(status.at_ms, task.created_at_ms)
    ran = status.at_ms - status.running_at_ms if status.running_at_ms else 0
    return min(now_ms, task.created_at_ms + ran)


def _streak(task: Task, status: TaskStatus | None) -> int:
    ran = status.at_ms - status.running_at_ms if status is not None and status.running_at_ms else 0
    return 0 if ran >= STABLE_MS else task.attempt


def _restarts(policy: RestartPolicy, ends: Sequence[End], now_ms: int) -> int:
    """Successors created within the window. All but the first task of a row are successors."""
    if not policy.window_ms:
        return max(ends[-1][0].attempt, sum(task.attempt > 0 for task, _ in ends))
    since = now_ms - policy.window_ms
    return sum(task.attempt > 0 and task.created_at_ms >= since for task, _ in ends)


def _give_up_problem(task: Task, status: TaskStatus, restarts: int) -> str:
    """ "task 1 failed after 2 restarts: exit code 3"."""
    name = f"task {task.slot}" if task.slot else f"task on node {task.node_id}"
    after = f" after {restarts} restart{'' if restarts == 1 else 's'}" if restarts else ""
    verb = "ended" if status.state == TaskState.COMPLETE else "failed"
    return f"{name} {verb}{after}: {status.message or TaskState.Name(status.state).lower()}"
