"""One program of a user, from the first message of its call to its end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from agent.runtime.exec_process import ExecProcess
from agent.runtime.exec_start import CannotRunError
from agent.runtime.exec_streams import Stream
from shoal.api.v1.streams_pb2 import ExecEnd, ExecInput, ExecOutput, ExecStart, ExecStarted
from shoal.errors import InvalidInput
from shoal.signal_names import number_of


class Programs(Protocol):
    """`agent.runtime.runtime.OciRuntime` is one."""

    async def run_in(self, wanted: ExecStart) -> ExecProcess | None:
        """None when it is let run. Raises CannotRunError, NotFound, InvalidInput, Exhausted, Unavailable."""
        ...


async def serve(programs: Programs, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
    """Run what the first message says, with the others for it. When the caller goes, it is hung up on.

    Raises:
        InvalidInput: the first message is another one. NotFound, Exhausted, Unavailable: see `Programs`.
    """
    first = await anext(messages, None)
    if first is None or first.WhichOneof("kind") != "start":
        raise InvalidInput("the first message of the call says what to run")
    try:
        process = await programs.run_in(first.start)
    except CannotRunError as error:
        yield ExecOutput(end=ExecEnd(exit_code=error.code, error=str(error)))
        return
    if process is None:
        yield ExecOutput(started=ExecStarted(task_id=first.start.task))
        return
    feeding = asyncio.create_task(_feed(process, messages))
    try:
        yield ExecOutput(started=ExecStarted(task_id=first.start.task))
        async with aclosing(process.output()) as output:
            async for stream, piece in output:
                yield ExecOutput(stdout=piece) if stream is Stream.STDOUT else ExecOutput(stderr=piece)
        yield ExecOutput(end=ExecEnd(exit_code=await process.code()))
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])
        await process.end()


async def _feed(process: ExecProcess, messages: AsyncIterator[ExecInput]) -> None:
    """Until the caller says no more. What this version does not know is passed over, and a signal that is none."""
    async for message in messages:
        match message.WhichOneof("kind"):
            case "input":
                await process.write(message.input)
            case "input_end":
                process.end_input()
            case "resize":
                process.resize(message.resize.columns, message.resize.rows)
            case "signal":
                if (number := number_of(message.signal)) is not None:
                    process.signal(number)
