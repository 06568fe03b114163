"""Monitors the new tasks of an update: when one is available, and in which slots one has failed."""

from manager.planner.draft import Draft
from manager.planner.slots.slot_tasks import Slot
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.updates import update_state
from shoal.api.v1.service_pb2 import RestartPolicy, ServiceSpec, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.restarts import restart_policy
from shoal.task_states import is_ready


class UpdateMonitor:
    """Monitors tasks of the effective template that were created since the update (or its rollback) began.

    `is_active` while an update is under way.

    Args:
        update: the status of the update to the newest template; None when there was none.
    """

    def __init__(self, draft: Draft, desired: DesiredTemplate, spec: ServiceSpec, update: UpdateStatus | None) -> None:
        self._draft = draft
        self._desired = desired
        self._policy = spec.task.restart
        self.update = update
        self.effective_revision = update.effective_revision if update is not None else 0
        self.is_active = update is not None and update.state in update_state.MONITORED
        self._since_ms = update.monitored_since_ms if update is not None else 0
        self._monitor_ms = update_state.monitor_ms(update_state.config_of(spec, update))
        self._failed: set[int | str] = set()
        self._newest_failure: tuple[int, str] = (0, "")

    @property
    def since_ms(self) -> int:
        """Tasks created since then are monitored; 0 when none are. Milliseconds since the Unix epoch."""
        return self._since_ms if self.is_active else 0

    @property
    def failed(self) -> int:
        """Slots in which a new task has failed."""
        return len(self._failed)

    @property
    def reason(self) -> str:
        """The reason of the newest failure, one line for the user."""
        return self._newest_failure[1]

    def has_failed(self, slot: Slot) -> bool:
        return slot.key in self._failed

    def observe(self, slot: Slot) -> None:
        """Look for failures in the slot's ended tasks."""
        if not self.is_active:
            return
        for task in slot.ended:
            status = self._draft.view.task_status.get(task.id)
            if status is not None and self._is_monitored(task) and self._is_failure(task, status):
                self._failed.add(slot.key)
                why = status.message or TaskState.Name(status.state).lower()
                self._newest_failure = max(self._newest_failure, (task.created_at_ms, why))

    def available_at_ms(self, task: Task) -> int | None:
        """When the task is available, perhaps in the past; None while it is not ready. Milliseconds since the epoch."""
        status = self._draft.view.task_status.get(task.id)
        if status is None or not is_ready(task, status):
            return None
        if not self._is_monitored(task):
            return 0
        ready_at = status.at_ms if status.health == TaskStatus.HEALTHY else status.running_at_ms
        # An agent's clock may be off: nothing is ready before it was created, and no time in the future is waited for.
        ready_at = max(ready_at, task.created_at_ms) if ready_at <= self._draft.now_ms else task.created_at_ms
        return ready_at + self._monitor_ms

    def _is_monitored(self, task: Task) -> bool:
        return self.is_active and task.created_at_ms >= self._since_ms and not self._desired.differs(task)

    def _is_failure(self, task: Task, status: TaskStatus) -> bool:
        if not restart_policy.ended_by_itself(task, status):
            return False
        if status.state == TaskState.COMPLETE and self._policy.condition in (
            RestartPolicy.NONE,
            RestartPolicy.ON_FAILURE,
        ):
            return False
        ran = status.at_ms - status.running_at_ms if status.running_at_ms else 0
        return ran < max(self._monitor_ms, restart_policy.STABLE_MS)
