"""Verification that new tasks are stable: a task that ends soon after its start is a failure.

A service is watched for some seconds after all of its tasks run. The time ends early when their health checks have
passed, and is skipped when the template has run for as long before: scaling it proves nothing new. During an update,
its own policy decides (`manager.planner.updates.update_state`); the time counts from the moment when all tasks run.
"""

from collections.abc import Iterable
from math import ceil

from manager.planner.spec.effective_spec import effective
from manager.services.task_counts import SUCCESS_IS_FINAL, UPDATE_ENDED, TaskCounts, current_revisions
from manager.store.tables import View
from shoal.api.v1.control_pb2 import ServiceProgress
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_ready, observed_state, should_run, task_name

MAX_MS = 3_600_000
"""The longest verification that a client may request."""


class Verification:
    """Verification of one service while a client waits. Times are seconds of a monotonic clock.

    Args:
        seconds: how long to watch.
        stable: the template has already run for that long.
    """

    def __init__(self, seconds: float, *, stable: bool) -> None:
        self._seconds = seconds
        self._stable = stable or seconds <= 0
        self._ended_before: set[str] | None = None
        self._since: float | None = None
        self._failure = ""
        self.due_at: float | None = None

    def evaluate(
        self, view: View, service: Service, progress: ServiceProgress, counted: TaskCounts, now: float
    ) -> None:
        """Adjust the progress: not converged during verification, stalled when a task has ended.

        `due_at` is when to evaluate again even without a change; None if that is not needed.
        """
        self.due_at = None
        if self._stable:
            return
        if self._ended_before is None or not _no_update_running(progress):
            self._ended_before = set(counted.ended)
        if not self._failure:
            self._failure = failure(view, service, counted.ended - self._ended_before)
        if self._failure:
            progress.converged, progress.stalled = False, True
            progress.problems.insert(0, self._failure)
            return
        self._watch(progress, counted, now)

    def _watch(self, progress: ServiceProgress, counted: TaskCounts, now: float) -> None:
        if not counted.running == counted.active == progress.desired - progress.completed:
            self._since = None
            return
        self._since = now if self._since is None else self._since
        left = self._since + self._seconds - now
        if not progress.converged:
            return
        if left <= 0 or counted.healthy == counted.running:
            self._stable = True
            return
        progress.converged = False
        progress.verify_remaining_ms = ceil(left) * 1000
        self.due_at = now + (left % 1 or 1)


def is_stable(view: View, service: Service, *, since_ms: int) -> bool:
    """Whether a task of the template in force was created before then and runs."""
    fresh = current_revisions(effective(view, service))
    return any(
        task.revision in fresh
        and task.created_at_ms <= since_ms
        and should_run(task)
        and is_ready(task, view.task_status.get(task.id))
        for task in view.tasks_of(service.meta.id).values()
    )


def failure(view: View, service: Service, ended: Iterable[str]) -> str:
    """One line for the user about tasks that have ended by themselves; empty when that is no failure."""
    tasks = [task for identifier in ended if (task := view.tasks.get(identifier)) is not None]
    failed = [task for task in tasks if not _succeeded(view, service, task)]
    if not failed:
        return ""
    first = min(failed, key=lambda task: (task.created_at_ms, task.id))
    others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    name = service.spec.name
    return f"task {task_name(name, first)} {_outcome_text(view, first)}{others}; see `shoal service logs {name}`"


def _outcome_text(view: View, task: Task) -> str:
    status = view.task_status[task.id]
    ran_ms = status.at_ms - status.running_at_ms if status.running_at_ms else 0
    after = f" after {ran_ms / 1000:.1f} s" if ran_ms > 0 else ""
    if status.state == TaskState.COMPLETE:
        return f"exited{after} with code 0"
    return f"failed{after}: {status.message or f'exit code {status.exit_code}'}"


def _succeeded(view: View, service: Service, task: Task) -> bool:
    state = observed_state(task, view.task_status.get(task.id))
    if state == TaskState.COMPLETE:
        return service.spec.task.restart.condition in SUCCESS_IS_FINAL
    return state != TaskState.FAILED


def _no_update_running(progress: ServiceProgress) -> bool:
    """Whether no update is in progress."""
    return not progress.HasField("update") or progress.update.state in UPDATE_ENDED
