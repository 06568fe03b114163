"""Where an error of one task, volume or driver ends: it is not the node's, nor that of the others beside it."""

import logging

from shoal.errors import ShoalError

_log = logging.getLogger(__name__)


def line_of(whose: str, error: Exception) -> str:
    """What the user is told. An error that nobody foresaw is a fault of ours: its type is told, the rest logged.

    Args:
        whose: "task <id>", "volume <id>", …
    """
    if isinstance(error, ShoalError):
        return str(error)
    _log.error("%s met a fault in this agent", whose, exc_info=error)
    return f"a fault in the agent, whose log says more: {type(error).__name__}: {error}"
