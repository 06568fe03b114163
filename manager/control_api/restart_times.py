"""When ended tasks get their successors, as the planner will decide. Pure."""

from collections import defaultdict

from manager.control_api.counting import fresh_revisions
from manager.planner import restart
from manager.planner.effective import effective
from manager.planner.jobs import on_failure
from manager.planner.modes import is_job
from manager.store.tables import View
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task
from shoal.task_states import is_terminal, is_wanted, observed

_Place = tuple[int, str, int]


class RestartTimes:
    """Answers for one view at one moment; a service's tasks are looked at once.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(self, view: View, now_ms: int) -> None:
        self._view = view
        self._now_ms = now_ms
        self._services: dict[str, dict[str, int]] = {}

    def of(self, task: Task) -> int:
        """Milliseconds since the Unix epoch; 0 where nothing is waited for."""
        if not is_wanted(task) or not self._has_ended(task):
            return 0
        service = self._view.services.get(task.service_id)
        if service is None:
            return 0
        if (known := self._services.get(task.service_id)) is None:
            known = self._services[task.service_id] = self._due(effective(self._view, service))
        return known.get(task.id, 0)

    def _due(self, service: Service) -> dict[str, int]:
        """By the id of the newest task of each slot that waits."""
        policy, fresh = service.spec.task.restart, fresh_revisions(service)
        if is_job(service.spec):
            policy = on_failure(policy)
        slots: defaultdict[_Place, list[Task]] = defaultdict(list)
        for task in self._view.tasks_of(service.meta.id).values():
            slots[task.slot, "" if task.slot else task.node_id, task.run].append(task)
        due = {}
        for tasks in slots.values():
            newest = max(tasks, key=lambda each: (each.created_at_ms, each.attempt, each.id))
            if not is_wanted(newest) or not all(map(self._has_ended, tasks)) or newest.revision not in fresh:
                continue
            ended = sorted(
                (each for each in tasks if each.revision in fresh),
                key=lambda each: (each.created_at_ms, each.attempt, each.id),
            )
            ends = [(each, self._view.task_status.get(each.id)) for each in ended]
            verdict = restart.answer(policy, ends, now_ms=self._now_ms)
            due[newest.id] = verdict.due_ms or 0
        return due

    def _has_ended(self, task: Task) -> bool:
        return is_terminal(observed(task, self._view.task_status.get(task.id)))
