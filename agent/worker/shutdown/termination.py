"""Sends the stop signal, and kills a container that did not exit in time."""

import asyncio
import logging

from agent.worker.container_runtime import Runtime
from shoal.errors import ShoalError
from shoal.fault_points.injection import fault

KILL_TIMEOUT_SECONDS = 10.0
"""A killed container that is still there after this long is killed again."""
RETRY_SECONDS = 2.0

_log = logging.getLogger(__name__)


async def send_stop_signal(runtime: Runtime, task_id: str, signal: str) -> None:
    """Send the stop signal, once."""
    try:
        await runtime.signal(task_id, signal)
        fault("agent.stop.signalled")
    except ShoalError as error:
        _log.warning("could not send %s to task %s: %s", signal, task_id, error)


async def kill(runtime: Runtime, task_id: str, wake: asyncio.Event) -> None:
    """Send SIGKILL once and wait for the exit; call it again if the kernel does not release a process.

    Args:
        wake: set when the container has exited.
    """
    try:
        await runtime.signal(task_id, "SIGKILL")
        async with asyncio.timeout(KILL_TIMEOUT_SECONDS):
            await wake.wait()
    except TimeoutError:
        _log.warning("task %s is still running %g s after SIGKILL", task_id, KILL_TIMEOUT_SECONDS)
    except ShoalError as error:
        _log.warning("could not kill task %s: %s", task_id, error)
        await asyncio.sleep(RETRY_SECONDS)
