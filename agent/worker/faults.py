"""Where an error of one task ends: it is that task's alone, and neither the node's nor that of the tasks beside it."""

import logging

from shoal.errors import ShoalError

_log = logging.getLogger(__name__)


def line_of(task_id: str, error: Exception) -> str:
    """What the user is told. An error that nobody foresaw is a fault of ours: its type is told, the rest logged."""
    if isinstance(error, ShoalError):
        return str(error)
    _log.error("task %s met a fault in this agent", task_id, exc_info=error)
    return f"a fault in the agent, whose log says more: {type(error).__name__}: {error}"
