"""Exec and attach: relays a user's terminal to a program in a container."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from agent.runtime.exec.exec_starter import CannotExecError
from agent.runtime.exec.exec_streams import StdStream
from shoal.api.v1.streams_pb2 import ExecEnd, ExecInput, ExecOutput, ExecStart, ExecStarted, TerminalSize
from shoal.errors import InvalidInput
from shoal.signal_names import signal_number


class Process(Protocol):
    """A program: `ExecProcess`, `AttachSession`, or `WaitingSession`."""

    def output(self) -> AsyncGenerator[tuple[StdStream, bytes]]:
        """Its output, until it has exited."""
        ...

    async def write(self, data: bytes) -> None:
        """Write to its standard input."""
        ...

    def close_input(self) -> None: ...

    def resize(self, columns: int, rows: int) -> None: ...

    def signal(self, number: int) -> None: ...

    async def exit_code(self) -> int:
        """Its exit code, once it has exited."""
        ...

    async def close(self) -> object:
        """End the session."""
        ...


class Program(Process, Protocol):
    """A program that the agent has started: `ExecProcess`."""

    @property
    def pid(self) -> int:
        """On the host."""
        ...

    async def close(self) -> int:
        """End it if it runs; its exit code."""
        ...


class ExecRuntime(Protocol):
    """Runs programs in containers; `agent.runtime.oci_runtime.OciRuntime` is one."""

    async def start_exec(self, request: ExecStart) -> Program:
        """One that is detached has no output, and need not be closed.

        Raises:
            CannotExecError, NotFound, InvalidInput, Exhausted, Unavailable.
        """
        ...

    def attach(self, task_id: str) -> Process:
        """Raises NotFound, Exhausted."""
        ...

    def attach_at_start(self, container_id: str) -> Process:
        """Attach before its program starts. Raises Exhausted; the session, what the start raises."""
        ...


async def serve_exec(runtime: ExecRuntime, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
    """Run the program of the first message; later messages are its input. When the caller leaves, it gets SIGHUP.

    Raises:
        InvalidInput: the first message is another one. NotFound, Exhausted, Unavailable: see `ExecRuntime`.
    """
    first = await anext(messages, None)
    if first is None or not first.HasField("start"):
        raise InvalidInput("the first message must be ExecStart")
    try:
        process = await runtime.start_exec(first.start)
    except CannotExecError as error:
        yield ExecOutput(end=ExecEnd(exit_code=error.code, error=str(error)))
        return
    if first.start.detach:
        yield ExecOutput(started=ExecStarted(task_id=first.start.task))
        return
    async with aclosing(relay(process, first.start.task, messages)) as outputs:
        async for output in outputs:
            yield output


async def serve_attach(runtime: ExecRuntime, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
    """Attach to a container's main process, which continues when the caller detaches.

    With `AttachStart.wait` the first response says that the caller will miss no byte of the container's next run.

    Raises:
        InvalidInput: the first message is another one. NotFound: the container is not running.
        Exhausted: the caller reads too slowly.
    """
    first = await anext(messages, None)
    if first is None or not first.HasField("attach"):
        raise InvalidInput("the first message must be AttachStart")
    attach = runtime.attach_at_start if first.attach.wait else runtime.attach
    process = attach(first.attach.task)
    size = first.attach.terminal if first.attach.HasField("terminal") else None
    async with aclosing(relay(process, first.attach.task, messages, size)) as outputs:
        async for output in outputs:
            yield output


async def relay(
    process: Process, task_id: str, messages: AsyncIterator[ExecInput], size: TerminalSize | None = None
) -> AsyncGenerator[ExecOutput]:
    """Relay both ways, until the program or the caller ends."""
    feeding = asyncio.create_task(_forward_input(process, messages))
    try:
        if size is not None:
            process.resize(size.columns, size.rows)
        yield ExecOutput(started=ExecStarted(task_id=task_id))
        async with aclosing(process.output()) as output:
            async for stream, piece in output:
                yield ExecOutput(stdout=piece) if stream is StdStream.STDOUT else ExecOutput(stderr=piece)
        yield ExecOutput(end=ExecEnd(exit_code=await process.exit_code()))
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])
        await process.close()


async def _forward_input(process: Process, messages: AsyncIterator[ExecInput]) -> None:
    """Forward input until the caller's stream ends. Unknown messages and signals are ignored."""
    async for message in messages:
        match message.WhichOneof("kind"):
            case "stdin":
                await process.write(message.stdin)
            case "close_stdin":
                process.close_input()
            case "resize":
                process.resize(message.resize.columns, message.resize.rows)
            case "signal":
                if (number := signal_number(message.signal)) is not None:
                    process.signal(number)
