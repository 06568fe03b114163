"""The status of one task as it was reported last, and how it advances: the journal first, then the managers."""

import time
from collections.abc import Callable

from agent.worker.monitoring.container_monitor import StatusChange
from agent.worker.startup.start_measurements import START_SECONDS, end_start
from agent.worker.status_update import is_for_journal, next_status
from shoal.api.v1.task_pb2 import TaskState, TaskStatus


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
        self._report = report
        self._write_journal = write_journal
        self._accepted_at = time.monotonic() if not status.state else None

    def advance(self, state: TaskState.ValueType, message: str = "") -> None:
        """Report a state; one before the reported one is not reported, since recovery repeats steps."""
        if state < self.current.state:
            return
        before, self.current = self.current, next_status(self.current, state, message, self._now_ms())
        if state >= TaskState.RUNNING and self._accepted_at is not None:
            if state == TaskState.RUNNING:
                START_SECONDS.observe(time.monotonic() - self._accepted_at)
            self._accepted_at = None
            end_start("" if state == TaskState.RUNNING else message)
        if state != before.state and is_for_journal(state):
            self._write_journal()
        self._report(self.current)

    def change(self, change: StatusChange) -> bool:
        """Change and report the status of a running task; False: it is not running, and nothing was done."""
        if self.current.state != TaskState.RUNNING:
            return False
        new = TaskStatus()  # the previous one may still be in the status queue
        new.CopyFrom(self.current)
        change(new)
        self.current = new
        self.advance(TaskState.RUNNING)
        self._write_journal()
        return True
