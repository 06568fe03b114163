"""How the new tasks of an update prove themselves: when one counts, and which slots have seen one fail."""

from manager.planner import restart, rollout
from manager.planner.draft import Draft
from manager.planner.slots import Slot
from manager.planner.template import Wanted
from shoal.api.v1.service_pb2 import RestartPolicy, ServiceSpec, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_states import is_ready


class Trial:
    """Judges the tasks of the template in force that were made since the update (or its rollback) began.

    `is_on` while there is something to judge.

    Args:
        update: how the update to the newest template stands; None when there was none.
    """

    def __init__(self, draft: Draft, wanted: Wanted, spec: ServiceSpec, update: UpdateStatus | None) -> None:
        self._draft = draft
        self._wanted = wanted
        self._policy = spec.task.restart
        self.update = update
        self.effective_revision = update.effective_revision if update is not None else 0
        self.is_on = update is not None and update.state in rollout.WATCHED
        self._since_ms = update.watched_since_ms if update is not None else 0
        self._monitor_ms = rollout.monitor_ms(rollout.config_of(spec, update))
        self._failed: set[int | str] = set()
        self._newest_failure: tuple[int, str] = (0, "")

    @property
    def since_ms(self) -> int:
        """Tasks made since then are judged; 0 when none is. Milliseconds since the Unix epoch."""
        return self._since_ms if self.is_on else 0

    @property
    def failed(self) -> int:
        """Slots in which a new task has failed."""
        return len(self._failed)

    @property
    def reason(self) -> str:
        """Of the newest failure, one line for the user."""
        return self._newest_failure[1]

    def has_failed(self, slot: Slot) -> bool:
        return slot.key in self._failed

    def note(self, slot: Slot) -> None:
        """Look for failures in the slot's ended tasks."""
        if not self.is_on:
            return
        for task in slot.ended:
            status = self._draft.view.task_status.get(task.id)
            if status is not None and self._is_judged(task) and self._is_failure(task, status):
                self._failed.add(slot.key)
                why = status.message or TaskState.Name(status.state).lower()
                self._newest_failure = max(self._newest_failure, (task.created_at_ms, why))

    def counts_at(self, task: Task) -> int | None:
        """When the task counts, perhaps in the past; None while it is not ready. Milliseconds since the Unix epoch."""
        status = self._draft.view.task_status.get(task.id)
        if status is None or not is_ready(task, status):
            return None
        if not self._is_judged(task):
            return 0
        ready_at = status.at_ms if status.health == TaskStatus.HEALTHY else status.running_at_ms
        # An agent's clock may be off: nothing is ready before it was made, and the future is not waited for.
        ready_at = max(ready_at, task.created_at_ms) if ready_at <= self._draft.now_ms else task.created_at_ms
        return ready_at + self._monitor_ms

    def is_proven(self, task: Task) -> bool:
        """Whether the task counts, or there is nothing that it has to prove; the service is planned when it will."""
        counts_at = self.counts_at(task) if self.is_on else 0
        if counts_at is not None and counts_at > self._draft.now_ms:
            self._draft.wake(task.service_id, counts_at)
        return counts_at is not None and counts_at <= self._draft.now_ms

    def _is_judged(self, task: Task) -> bool:
        return self.is_on and task.created_at_ms >= self._since_ms and not self._wanted.differs(task)

    def _is_failure(self, task: Task, status: TaskStatus) -> bool:
        if not restart.ended_by_itself(task, status):
            return False
        if status.state == TaskState.COMPLETE and self._policy.condition in (
            RestartPolicy.NONE,
            RestartPolicy.ON_FAILURE,
        ):
            return False
        ran = status.at_ms - status.running_at_ms if status.running_at_ms else 0
        return ran < max(self._monitor_ms, restart.STABLE_MS)
