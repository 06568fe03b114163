"""A program that the agent runs in a container at a moment of its life, for its exit code and its last words."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from agent.health.executions import Execution
from agent.runtime.exec_process import ExecProcess
from agent.runtime.exec_start import CannotRunError
from agent.runtime.execution import FREE_BYTES, MAX_OUTPUT
from shoal.api.v1.container_pb2 import Hook
from shoal.api.v1.streams_pb2 import ExecStart

_PAUSE_SECONDS = 0.05
"""After each piece beyond the free bytes: a flood of output costs the container, not the agent."""


async def run_hook(run_in: Callable[[ExecStart], Awaitable[ExecProcess | None]], task_id: str, hook: Hook) -> Execution:
    """As `Runtime.run_hook`.

    Args:
        run_in: as `OciRuntime.run_in`.
    """
    wanted = ExecStart(
        task=task_id,
        args=hook.command,
        env=hook.env,
        user=hook.user,
        working_dir=hook.working_dir,
        privileged=hook.privileged,
    )
    try:
        process = await run_in(wanted)
    except CannotRunError as error:
        return Execution(error.code, str(error).encode())
    assert process is not None  # only who lets a program run gets none
    said, read = b"", 0
    try:
        async with aclosing(process.output()) as output:
            async for _, piece in output:
                said, read = (said + piece)[-MAX_OUTPUT:], read + len(piece)
                if read > FREE_BYTES:
                    await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        code = await process.end()
    return Execution(code, said)
