"""A user at the other end of a program: one of the user's own in a container, or the container's itself."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from agent.runtime.exec_start import CannotRunError
from agent.runtime.exec_streams import Stream
from shoal.api.v1.streams_pb2 import ExecEnd, ExecInput, ExecOutput, ExecStart, ExecStarted, TerminalSize
from shoal.errors import InvalidInput
from shoal.signal_names import number_of


class Process(Protocol):
    """A program that runs: `ExecProcess` or `Attached`."""

    def output(self) -> AsyncGenerator[tuple[Stream, bytes]]:
        """What it writes, until it has ended."""
        ...

    async def write(self, data: bytes) -> None:
        """To its standard input; waits for it."""
        ...

    def end_input(self) -> None: ...

    def resize(self, columns: int, rows: int) -> None: ...

    def signal(self, number: int) -> None: ...

    async def code(self) -> int:
        """Its exit code, when it has ended."""
        ...

    async def end(self) -> object:
        """The user has gone."""
        ...


class Programs(Protocol):
    """`agent.runtime.runtime.OciRuntime` is one."""

    async def run_in(self, wanted: ExecStart) -> Process | None:
        """None when it is let run. Raises CannotRunError, NotFound, InvalidInput, Exhausted, Unavailable."""
        ...

    def attach(self, task_id: str) -> Process:
        """Raises NotFound, Exhausted."""
        ...


async def serve(programs: Programs, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
    """Run what the first message says, with the others for it. When the caller goes, it is hung up on.

    Raises:
        InvalidInput: the first message is another one. NotFound, Exhausted, Unavailable: see `Programs`.
    """
    first = await anext(messages, None)
    if first is None or not first.HasField("start"):
        raise InvalidInput("the first message of the call says what to run")
    try:
        process = await programs.run_in(first.start)
    except CannotRunError as error:
        yield ExecOutput(end=ExecEnd(exit_code=error.code, error=str(error)))
        return
    if process is None:
        yield ExecOutput(started=ExecStarted(task_id=first.start.task))
        return
    async with aclosing(_converse(process, first.start.task, messages)) as outputs:
        async for output in outputs:
            yield output


async def serve_attached(programs: Programs, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
    """Lead to a container's own program, which goes on when the caller goes.

    Raises:
        InvalidInput: the first message is another one. NotFound: the container does not run.
        Exhausted: the caller takes too little.
    """
    first = await anext(messages, None)
    if first is None or not first.HasField("attach"):
        raise InvalidInput("the first message of the call says of which container")
    process = programs.attach(first.attach.task)
    size = first.attach.terminal if first.attach.HasField("terminal") else None
    async with aclosing(_converse(process, first.attach.task, messages, size)) as outputs:
        async for output in outputs:
            yield output


async def _converse(
    process: Process, task_id: str, messages: AsyncIterator[ExecInput], size: TerminalSize | None = None
) -> AsyncGenerator[ExecOutput]:
    """Both ways, until the program or the caller ends."""
    feeding = asyncio.create_task(_feed(process, messages))
    try:
        if size is not None:
            process.resize(size.columns, size.rows)
        yield ExecOutput(started=ExecStarted(task_id=task_id))
        async with aclosing(process.output()) as output:
            async for stream, piece in output:
                yield ExecOutput(stdout=piece) if stream is Stream.STDOUT else ExecOutput(stderr=piece)
        yield ExecOutput(end=ExecEnd(exit_code=await process.code()))
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])
        await process.end()


async def _feed(process: Process, messages: AsyncIterator[ExecInput]) -> None:
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
