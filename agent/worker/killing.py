"""The stop signal, and killing a container that has not heeded it."""

import asyncio
import logging

from agent.worker.seams import Runtime
from shoal.errors import ShoalError

PATIENCE_SECONDS = 10.0
"""A killed container that is still there after this long is killed again."""
RETRY_SECONDS = 2.0

_log = logging.getLogger(__name__)


async def ask(runtime: Runtime, task_id: str, signal: str) -> None:
    """Send the stop signal, once."""
    try:
        await runtime.signal(task_id, signal)
    except ShoalError as error:
        _log.warning("task %s did not take %s: %s", task_id, signal, error)


async def kill(runtime: Runtime, task_id: str, wake: asyncio.Event) -> None:
    """Once, and wait for its end; called again and again, should the kernel hold a process.

    Args:
        wake: set when it has ended.
    """
    try:
        await runtime.signal(task_id, "SIGKILL")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await wake.wait()
    except TimeoutError:
        _log.warning("task %s is still there %g s after SIGKILL", task_id, PATIENCE_SECONDS)
    except ShoalError as error:
        _log.warning("task %s cannot be killed: %s", task_id, error)
        await asyncio.sleep(RETRY_SECONDS)
