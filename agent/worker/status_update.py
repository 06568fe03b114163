"""Advances a task status. Pure."""

from agent.worker.container_runtime import Exit, Running
from shoal import task_states
from shoal.api.v1.task_pb2 import StateChange, Task, TaskState, TaskStatus
from shoal.one_line import one_line

MAX_MESSAGE = 300
"""Characters of a message: it is a column of a list."""


def next_status(status: TaskStatus, state: TaskState.ValueType, message: str, now_ms: int) -> TaskStatus:
    """A copy in this state; a new state is appended to the state history.

    Args:
        now_ms: since the Unix epoch. If the clock was set back, the time of the last status is used: a status of the
            same state would otherwise be ignored as older.
    """
    new = TaskStatus()
    new.CopyFrom(status)
    new.state, new.message, new.at_ms = state, one_line(message, MAX_MESSAGE), max(now_ms, status.at_ms)
    if state != status.state:
        new.state_history.append(StateChange(state=state, at_ms=new.at_ms))
    return new


def note_start(status: TaskStatus, task: Task, running: Running) -> None:
    """The container was started. The user of one's own is shown since when it ran, even if it ends before it is seen to
    run; a task of a service runs once its hooks have succeeded."""
    status.pid = running.pid
    if task.container_id:
        status.running_at_ms = running.started_ms


def with_exit(status: TaskStatus, end: Exit | None) -> TaskStatus:
    """A final status with what is known of the container's exit."""
    if end is not None:
        status.exit_code, status.oom_killed, status.paused = end.code, end.oom_killed, False
    return status


def is_for_journal(state: TaskState.ValueType) -> bool:
    """Whether a restarted agent has to know that this state was reached."""
    return state in (TaskState.ACCEPTED, TaskState.READY, TaskState.RUNNING) or task_states.is_terminal(state)
