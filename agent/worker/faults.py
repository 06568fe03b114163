"""Where an error of one task, volume or driver ends: it is not the node's, nor that of the others beside it."""

import asyncio
import logging
from collections.abc import Coroutine

from shoal.errors import ShoalError

RETRY_SECONDS = 2.0

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


async def attempt(task_id: str, done: str, work: Coroutine[None, None, None]) -> None:
    """What the host refuses is tried again by the caller, in a while: it must not stay.

    Args:
        done: what becomes of the task by the work: "removed".
    """
    try:
        await work
    except Exception as error:
        _log.warning("task %s cannot be %s yet: %s", task_id, done, line_of(f"task {task_id}", error))
        await asyncio.sleep(RETRY_SECONDS)
