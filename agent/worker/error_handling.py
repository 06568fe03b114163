"""Confines an error to the task, volume or driver where it occurred."""

import asyncio
import logging
from collections.abc import Coroutine

from shoal.errors import ShoalError

RETRY_SECONDS = 2.0

_log = logging.getLogger(__name__)


def describe_error(subject: str, error: Exception) -> str:
    """The message for the user. An unexpected error is a bug in the agent: its type is shown, the rest is logged.

    Args:
        subject: "task <id>", "volume <id>", …
    """
    if isinstance(error, ShoalError):
        return str(error)
    _log.error("internal error: %s", subject, exc_info=error)
    return f"internal error (see the agent's log): {type(error).__name__}: {error}"


async def try_or_pause(task_id: str, outcome: str, work: Coroutine[None, None, None]) -> None:
    """Run a step; on an error, log it and pause, so that the caller can retry.

    Args:
        outcome: what the step does to the task, for the log: "removed".
    """
    try:
        await work
    except Exception as error:
        _log.warning(
            "task %s could not be %s, retrying: %s", task_id, outcome, describe_error(f"task {task_id}", error)
        )
        await asyncio.sleep(RETRY_SECONDS)
