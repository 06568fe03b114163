"""Counts of services that somebody watches, kept in step with the store: a change costs what it changes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from manager.control_api.counting import Count, answers
from manager.store import kinds
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.task_pb2 import Task, TaskStatus


class _Seen(NamedTuple):
    """A task as it was counted."""

    task: Task
    status: TaskStatus | None
    answers: bool


@dataclass
class _Service:
    identifier: str
    fresh: range
    count: Count = field(default_factory=Count)
    seen: dict[str, _Seen] = field(default_factory=dict)


class Tally:
    """Counts a service's tasks when it is first asked for it, and from then on what changes.

    The invariant that the tests hold it to: after `note` of all changes that the view has, `count` says what
    `counting.count` does.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._services: dict[str, _Service] = {}

    def count(self, view: View, service_id: str, fresh: range) -> Count:
        """As `counting.count`, which it can stand for."""
        kept = self._services.get(service_id)
        if kept is None or kept.fresh != fresh:
            kept = self._services[service_id] = _Service(service_id, fresh)
            for task_id in view.tasks_of(service_id):
                self._look(kept, task_id)
        return kept.count

    def may_be_done(self, service_id: str) -> bool:
        """Whether as many run as are to, and nothing stops: else the service has not converged for sure."""
        kept = self._services.get(service_id)
        return kept is None or (kept.count.running == kept.count.wanted and not kept.count.stopping)

    def note(self, changes: Iterable[Change]) -> None:
        """Take in changes that the view has already."""
        for change in changes:
            record = change.new if change.new is not None else change.old
            if isinstance(record, Task):
                if (kept := self._services.get(record.service_id)) is not None:
                    self._look(kept, change.identifier)
            elif change.kind.name == kinds.TASK_STATUS.name:
                self._look_at_task(change.identifier)
            elif change.kind.name == kinds.NODE_STATUS.name:
                for task_id in self._view.tasks_on(change.identifier):
                    self._look_at_task(task_id)

    def _look_at_task(self, task_id: str) -> None:
        task = self._view.tasks.get(task_id)
        if task is not None and (kept := self._services.get(task.service_id)) is not None:
            self._look(kept, task_id)

    def _look(self, kept: _Service, task_id: str) -> None:
        old = kept.seen.pop(task_id, None)
        if old is not None:
            kept.count.add(*old, kept.fresh, -1)
        task = self._view.tasks.get(task_id)
        if task is not None and task.service_id == kept.identifier:
            new = _Seen(task, self._view.task_status.get(task_id), answers(self._view, task.node_id))
            kept.seen[task_id] = new
            kept.count.add(*new, kept.fresh)
