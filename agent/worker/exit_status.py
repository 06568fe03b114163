"""Maps an exit to the final task state and a message. Pure."""

import signal

from agent.worker.container_runtime import Exit
from shoal.api.v1.task_pb2 import TaskState, TaskStatus

CONTAINER_LOST = "container lost: the host was restarted, or the container was removed"
"""Of a task that ran and left no trace of how it ended."""

_SIGNAL_BASE = 128


def final_state(end: Exit, stop_requested: bool, unhealthy: bool = False) -> TaskState.ValueType:
    """SHUTDOWN after a stop request and FAILED when unhealthy, whatever the exit code; otherwise by the exit code."""
    if stop_requested:
        return TaskState.SHUTDOWN
    if unhealthy:
        return TaskState.FAILED
    return TaskState.COMPLETE if end.code == 0 and not end.oom_killed else TaskState.FAILED


def unhealthy_reason(status: TaskStatus) -> str:
    """Why its health check ends it; empty where it does not."""
    return f"unhealthy: {status.health_output}" if status.health == TaskStatus.UNHEALTHY else ""


def failure_reason(end: Exit, memory_limit: int) -> str:
    """Why the container exited, one line; empty after exit code 0.

    Args:
        memory_limit: bytes, 0 for none.
    """
    if end.oom_killed:
        return f"out of memory (limit {_size(memory_limit)})" if memory_limit else "out of memory on the node"
    if end.message or end.code == 0:
        return end.message
    return _signal_name(end.code) or f"exit code {end.code}"


def _signal_name(code: int) -> str:
    try:
        return f"killed by {signal.Signals(code - _SIGNAL_BASE).name} (exit code {code})"
    except ValueError:
        return ""


def _size(octets: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if octets >= unit:
            return f"{octets / unit:.4g} {name}"
    return f"{octets} B"
