"""The status of one task as it was reported last, and how it advances: the journal first, then the managers."""

import time
from collections.abc import Callable

from agent.worker.monitoring.container_monitor import StatusChange
from agent.worker.startup.start_measurements import START_SECONDS, end_start
from agent.worker.status_update import is_for_journal, next_status
from shoal import task_states
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.fault_points.injection import fault


def initial_status(task: Task, entry: JournalEntry | None) -> TaskStatus:
    """As the journal has it; else that of a task which has ended, or was not accepted yet."""
    if entry is not None:
        status = TaskStatus()
        status.CopyFrom(entry.status)
        return status
    status = TaskStatus(task_id=task.id)
    if task_states.is_terminal(task.state):
        status.state = task.state
    return status


class ReportedStatus:
    """For one task.

    Args:
        status: as the journal has it.
        report: takes each new status.
        write_journal: writes the task's entry, with the current status.
    """

    def __init__(
        self,
        status: TaskStatus,
        *,
        now_ms: Callable[[], int],
        report: Callable[[TaskStatus], None],
        write_journal: Callable[[], None],
    ) -> None:
        self.current = status
        self._now_ms = now_ms
        self.report = report
        self.write_journal = write_journal
        self._accepted_at = time.monotonic() if not status.state else None

    def advance(self, state: TaskState.ValueType, message: str = "") -> None:
        """Report a state; one before the reported one is not reported, since recovery repeats steps."""
        if state >= self.current.state:
            self.set(self.next(state, message))

    def next(self, state: TaskState.ValueType, message: str) -> TaskStatus:
        """The status that would be reported."""
        return next_status(self.current, state, message, self._now_ms())

    def set(self, new: TaskStatus) -> None:
        """Report a status of a later state, or another one of the same."""
        before, self.current, state, message = self.current, new, new.state, new.message
        if state >= TaskState.RUNNING and self._accepted_at is not None:
            if state == TaskState.RUNNING:
                START_SECONDS.observe(time.monotonic() - self._accepted_at)
            self._accepted_at = None
            end_start("" if state == TaskState.RUNNING else message)
        if state != before.state and is_for_journal(state):
            self.write_journal()
        self.report(self.current)

    def replace(self, new: TaskStatus) -> None:
        """Report a status of another run."""
        self.current = new
        self.write_journal()
        fault("agent.restart.decided")
        self.report(new)

    def change(self, change: StatusChange) -> bool:
        """Change and report the status of a running task; False: it is not running, and nothing was done."""
        if self.current.state != TaskState.RUNNING:
            return False
        new = TaskStatus()  # the previous one may still be in the status queue
        new.CopyFrom(self.current)
        change(new)
        self.current = new
        self.advance(TaskState.RUNNING)
        self.write_journal()
        return True
