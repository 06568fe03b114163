"""Task counts updated incrementally from changes of the store."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from manager.services.task_counts import TaskCounts, node_responds
from manager.store import kinds
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.task_pb2 import Task, TaskStatus


class _CountedTask(NamedTuple):
    """A task as it was counted."""

    task: Task
    status: TaskStatus | None
    responding: bool


@dataclass
class _WatchedService:
    identifier: str
    current: range
    count: TaskCounts = field(default_factory=TaskCounts)
    counted: dict[str, _CountedTask] = field(default_factory=dict)


class IncrementalCounts:
    """Counts the tasks of a service at the first request, and from then on applies changes.

    Invariant, which tests check: after `apply` of all changes that the view has, `count` equals
    `task_counts.count_tasks`.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._services: dict[str, _WatchedService] = {}

    def count(self, view: View, service_id: str, current: range) -> TaskCounts:
        """A `TaskCounter`, in place of `task_counts.count_tasks`."""
        kept = self._services.get(service_id)
        if kept is None or kept.current != current:
            kept = self._services[service_id] = _WatchedService(service_id, current)
            for task_id in view.tasks_of(service_id):
                self._recount(kept, task_id)
        return kept.count

    def may_be_done(self, service_id: str) -> bool:
        """Whether all desired tasks run and none is stopping; otherwise the service cannot have converged."""
        kept = self._services.get(service_id)
        return kept is None or (kept.count.running == kept.count.active and not kept.count.stopping)

    def apply(self, changes: Iterable[Change]) -> None:
        """Apply changes that the view already has."""
        for change in changes:
            record = change.new if change.new is not None else change.old
            if isinstance(record, Task):
                if (kept := self._services.get(record.service_id)) is not None:
                    self._recount(kept, change.identifier)
            elif change.kind.name == kinds.TASK_STATUS.name:
                self._recount_task(change.identifier)
            elif change.kind.name == kinds.NODE_STATUS.name:
                for task_id in self._view.tasks_on(change.identifier):
                    self._recount_task(task_id)

    def _recount_task(self, task_id: str) -> None:
        task = self._view.tasks.get(task_id)
        if task is not None and (kept := self._services.get(task.service_id)) is not None:
            self._recount(kept, task_id)

    def _recount(self, kept: _WatchedService, task_id: str) -> None:
        old = kept.counted.pop(task_id, None)
        if old is not None:
            kept.count.add(*old, kept.current, -1)
        task = self._view.tasks.get(task_id)
        if task is not None and task.service_id == kept.identifier:
            new = _CountedTask(task, self._view.task_status.get(task_id), node_responds(self._view, task.node_id))
            kept.counted[task_id] = new
            kept.count.add(*new, kept.current)
