"""When ended tasks are restarted, by the planner's own restart policy. Pure."""

from collections import defaultdict

from manager.planner.spec.effective_spec import effective
from manager.planner.spec.service_modes import is_job
from manager.services.task_counts import current_revisions
from manager.store.tables import View
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task
from shoal.restarts import restart_policy
from shoal.task_states import is_terminal, observed_state, should_run

_SlotKey = tuple[int, str, int]


class RestartTimes:
    """Restart times for one view at one moment; the tasks of a service are examined once.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(self, view: View, now_ms: int) -> None:
        self._view = view
        self._now_ms = now_ms
        self._services: dict[str, dict[str, int]] = {}

    def due_at(self, task: Task) -> int:
        """Milliseconds since the Unix epoch; 0 if no restart is due."""
        if not should_run(task) or not self._has_ended(task):
            return 0
        service = self._view.services.get(task.service_id)
        if service is None:
            return 0
        if (known := self._services.get(task.service_id)) is None:
            known = self._services[task.service_id] = self._due(effective(self._view, service))
        return known.get(task.id, 0)

    def _due(self, service: Service) -> dict[str, int]:
        """By the ID of the newest task of each slot that waits for a restart."""
        policy, fresh = service.spec.task.restart, current_revisions(service)
        if is_job(service.spec):
            policy = restart_policy.job_restart_policy(policy)
        slots: defaultdict[_SlotKey, list[Task]] = defaultdict(list)
        for task in self._view.tasks_of(service.meta.id).values():
            slots[task.slot, "" if task.slot else task.node_id, task.job_run].append(task)
        due = {}
        for tasks in slots.values():
            newest = max(tasks, key=lambda each: (each.created_at_ms, each.attempt, each.id))
            if not should_run(newest) or not all(map(self._has_ended, tasks)) or newest.revision not in fresh:
                continue
            ended = sorted(
                (each for each in tasks if each.revision in fresh),
                key=lambda each: (each.created_at_ms, each.attempt, each.id),
            )
            ends = [(each, self._view.task_status.get(each.id)) for each in ended]
            decision = restart_policy.decide(policy, ends, now_ms=self._now_ms)
            due[newest.id] = decision.due_ms or 0
        return due

    def _has_ended(self, task: Task) -> bool:
        return is_terminal(observed_state(task, self._view.task_status.get(task.id)))
