"""Runs a lifecycle hook in a container."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from agent.health.exec_pool import ExecResult
from agent.runtime.exec.exec_process import ExecProcess
from agent.runtime.exec.exec_starter import CannotExecError
from agent.runtime.exec.probe_exec import MAX_OUTPUT, UNTHROTTLED_BYTES
from shoal.api.v1.container_pb2 import Hook
from shoal.api.v1.streams_pb2 import ExecStart

_PAUSE_SECONDS = 0.05
"""Delay after each read beyond the unthrottled bytes: a flood of output slows down the container, not the agent."""


async def run_hook(start_exec: Callable[[ExecStart], Awaitable[ExecProcess]], task_id: str, hook: Hook) -> ExecResult:
    """As `Runtime.run_hook`.

    Args:
        start_exec: as `OciRuntime.start_exec`.
    """
    request = ExecStart(
        task=task_id,
        args=hook.command,
        env=hook.env,
        user=hook.user,
        working_dir=hook.working_dir,
        privileged=hook.privileged,
    )
    try:
        process = await start_exec(request)
    except CannotExecError as error:
        return ExecResult(error.code, str(error).encode())
    tail, read = b"", 0
    try:
        async with aclosing(process.output()) as output:
            async for _, piece in output:
                tail, read = (tail + piece)[-MAX_OUTPUT:], read + len(piece)
                if read > UNTHROTTLED_BYTES:
                    await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        code = await process.close()
    return ExecResult(code, tail)
