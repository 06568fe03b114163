"""Whether what has come to run stays: a task that ends soon after its start is a failure, and who waits is told.

A service is watched for some seconds after all of its tasks run. The time ends early when their health checks have
passed, and there is none when its template has run for as long before: scaling it proves nothing new. While an update
is under way its own policy judges (`manager.planner.rollout`); the time counts from the moment that all tasks run.
"""

from collections.abc import Iterable
from math import ceil

from manager.control_api.counting import Count, fresh_revisions
from manager.planner.effective import effective
from manager.store.tables import View
from shoal.api.v1.control_pb2 import ServiceProgress
from shoal.api.v1.service_pb2 import RestartPolicy, Service, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_ready, is_wanted, observed, task_name

LONGEST_MS = 3_600_000
"""For which a command may ask."""

_UPDATE_ENDED = frozenset({UpdateStatus.COMPLETED, UpdateStatus.ROLLED_BACK})
_DONE_WELL = frozenset({RestartPolicy.NONE, RestartPolicy.ON_FAILURE})
"""With these a task that ends with exit code 0 has done what it was to do."""


class Verification:
    """One service, while somebody waits for it. Times are seconds of a clock that only goes forward.

    Args:
        seconds: to watch for.
        proven: the template has run for that long before.
    """

    def __init__(self, seconds: float, *, proven: bool) -> None:
        self._seconds = seconds
        self._proven = proven or seconds <= 0
        self._known: set[str] | None = None
        self._since: float | None = None
        self._failure = ""
        self.due_at: float | None = None

    def judge(self, view: View, service: Service, told: ServiceProgress, counted: Count, now: float) -> None:
        """Amend the progress: not converged while the tasks are watched, halted when one has ended.

        `due_at` is when to ask again though nothing changes; None when there is no need to.
        """
        self.due_at = None
        if self._proven:
            return
        if self._known is None or not _is_over(told):
            self._known = set(counted.ended)
        if not self._failure:
            self._failure = failure(view, service, counted.ended - self._known)
        if self._failure:
            told.converged, told.halted = False, True
            told.problems.insert(0, self._failure)
            return
        self._watch(told, counted, now)

    def _watch(self, told: ServiceProgress, counted: Count, now: float) -> None:
        if not counted.running == counted.wanted == told.desired - told.completed:
            self._since = None
            return
        self._since = now if self._since is None else self._since
        left = self._since + self._seconds - now
        if not told.converged:
            return
        if left <= 0 or counted.healthy == counted.running:
            self._proven = True
            return
        told.converged = False
        told.verify_left_ms = ceil(left) * 1000
        self.due_at = now + (left % 1 or 1)


def is_proven(view: View, service: Service, *, since_ms: int) -> bool:
    """Whether a task of the template in force runs that was made before then; milliseconds since the epoch."""
    fresh = fresh_revisions(effective(view, service))
    return any(
        task.revision in fresh
        and task.created_at_ms <= since_ms
        and is_wanted(task)
        and is_ready(task, view.task_status.get(task.id))
        for task in view.tasks_of(service.meta.id).values()
    )


def failure(view: View, service: Service, ended: Iterable[str]) -> str:
    """What to tell of tasks that have ended by themselves, one line for the user; empty when that is no failure."""
    tasks = [task for identifier in ended if (task := view.tasks.get(identifier)) is not None]
    failed = [task for task in tasks if not _is_done_well(view, service, task)]
    if not failed:
        return ""
    first = min(failed, key=lambda task: (task.created_at_ms, task.id))
    others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    name = service.spec.name
    return f"task {task_name(name, first)} {_end(view, first)}{others}; see `shoal service logs {name}`"


def _end(view: View, task: Task) -> str:
    status = view.task_status[task.id]
    ran_ms = status.at_ms - status.running_at_ms if status.running_at_ms else 0
    after = f" after {ran_ms / 1000:.1f} s" if ran_ms > 0 else ""
    if status.state == TaskState.COMPLETE:
        return f"ended{after}: exit code 0"
    return f"failed{after}: {status.message or f'exit code {status.exit_code}'}"


def _is_done_well(view: View, service: Service, task: Task) -> bool:
    state = observed(task, view.task_status.get(task.id))
    if state == TaskState.COMPLETE:
        return service.spec.task.restart.condition in _DONE_WELL
    return state != TaskState.FAILED


def _is_over(told: ServiceProgress) -> bool:
    """No update judges the tasks at the moment."""
    return not told.HasField("update") or told.update.state in _UPDATE_ENDED
