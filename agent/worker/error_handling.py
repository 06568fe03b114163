"""Confines an error to the task, volume or driver where it occurred."""

import asyncio
import logging
from collections.abc import Coroutine

from shoal.errors import ShoalError

RETRY_SECONDS = 2.0

_log = logging.getLogger(__name__)


def describe_error(subject: str, error: Exception) -> str:
    """What the user is told. An error that nobody foresaw is a fault of ours: its type is told, the rest logged.

    Args:
        subject: "task <id>", "volume <id>", …
    """
    if isinstance(error, ShoalError):
        return str(error)
    _log.error("internal error: %s", subject, exc_info=error)
    return f"internal error (see the agent's log): {type(error).__name__}: {error}"


async def try_or_pause(task_id: str, outcome: str, work: Coroutine[None, None, None]) -> None:
    """What the host refuses is tried again by the caller, in a while: it must not stay.

    Args:
        outcome: what becomes of the task by the work: "removed".
    """
    try:
        await work
    except Exception as error:
        _log.warning(
            "task %s could not be %s, retrying: %s", task_id, outcome, describe_error(f"task {task_id}", error)
        )
        await asyncio.sleep(RETRY_SECONDS)
