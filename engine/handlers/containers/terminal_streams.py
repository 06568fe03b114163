"""What `attach` and `exec` do with a connection that was taken over: both directions, until the program ends."""

import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

from engine.cluster.program_session import ProgramSession
from engine.protocol.errors import bad_request
from engine.protocol.frames import Output, frame
from engine.protocol.versions import STREAM_CONTENT_TYPE, ApiVersion
from engine.server.hijack import MULTIPLEXED, RAW, RawStream
from shoal.api.v1.streams_pb2 import ExecEnd, TerminalSize
from shoal.detach_keys import DEFAULT, DetachKeyScanner, parse_keys
from shoal.errors import InvalidInput, ShoalError
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

INPUT_BYTES = 256 * 1024
"""Of input in one message to a manager."""


class _Detached(Exception):
    """The keys for detaching were typed."""


@dataclass
class StreamOptions:
    """How a client is connected to a program.

    Attributes:
        terminal: it has one: output is raw, not in frames.
        stdin: input is for the program; else it is left unread.
        outputs: the streams of output that the client gets.
        discards_input: what is not for the program is read nevertheless: only so the client's departure is seen.
        was_detached: the client has typed them; set when the connection has ended.
        on_lost: awaited when the session is lost before the program's end, before the client's connection is closed.
        detach_keys: bytes that end the connection, of a terminal; empty: none.
    """

    terminal: bool
    stdin: bool
    outputs: Collection[Output] = (Output.STDOUT, Output.STDERR)
    detach_keys: bytes = b""
    discards_input: bool = False
    was_detached: bool = False
    on_lost: Callable[[], Awaitable[None]] | None = None

    def frame(self, output: Output, data: bytes) -> bytes:
        """Data as the client gets it; nothing of a stream that it does not get."""
        if output not in self.outputs:
            return b""
        return data if self.terminal else frame(output, data)


@dataclass
class Terminals:
    """Sessions in progress of this engine by what they are with, for changes of the size of a terminal."""

    _sessions: dict[str, list[ProgramSession]] = field(default_factory=dict)

    def add(self, identifier: str, session: ProgramSession) -> None:
        self._sessions.setdefault(identifier, []).append(session)

    def remove(self, identifier: str, session: ProgramSession) -> None:
        sessions = self._sessions.get(identifier, [])
        with suppress(ValueError):
            sessions.remove(session)
        if not sessions:
            self._sessions.pop(identifier, None)

    async def resize(self, identifier: str, size: TerminalSize) -> bool:
        """Whether there was a session to tell."""
        sessions = self._sessions.get(identifier)
        if not sessions:
            return False
        await sessions[-1].resize(size)
        return True


def content_type(version: ApiVersion, *, terminal: bool) -> str:
    """Of a stream of output."""
    return MULTIPLEXED if version >= STREAM_CONTENT_TYPE and not terminal else RAW


def detach_keys(text: str, *, terminal: bool) -> bytes:
    """The bytes for detaching.

    Raises:
        ApiError: 400, the text names none.
    """
    if not terminal:
        return b""
    try:
        return parse_keys(text or DEFAULT)
    except InvalidInput as error:
        raise bad_request(f"Invalid detach keys ({text}) provided: {error}") from None


def terminal_size(height: int, width: int) -> TerminalSize:
    """
    Raises:
        ApiError: 400, it is none.
    """
    if not (0 <= height < 1 << 16 and 0 <= width < 1 << 16):
        raise bad_request(f"invalid terminal size {height}x{width}")
    return TerminalSize(rows=height, columns=width)


async def connect(session: ProgramSession, stream: RawStream, options: StreamOptions) -> ExecEnd | None:
    """Copy both ways until the program ends, the client detaches, or is gone. Its connection is closed then.

    Returns:
        How it ended; None where that is not known.
    """
    end: ExecEnd | None = None
    try:
        async with TaskGroup() as group:
            input_task = None
            if options.stdin:
                input_task = group.create_task(_copy_input(session, stream, options))
            elif options.discards_input:
                input_task = group.create_task(_discard_input(stream))
            end = await _copy_output(session, stream, options)
            if input_task is not None:
                input_task.cancel()
    except ExceptionGroup as errors:
        options.was_detached = errors.subgroup(_Detached) is not None
        if errors.split((_Detached, ConnectionError))[1] is not None:
            raise
    except ConnectionError:
        pass
    await stream.close()
    return end


async def _discard_input(stream: RawStream) -> None:
    """Until it ends, or the client is gone."""
    while await stream.read():
        pass


async def _copy_input(session: ProgramSession, stream: RawStream, options: StreamOptions) -> None:
    scanner = DetachKeyScanner(options.detach_keys)
    while data := await stream.read():
        typed, detached = scanner.filter(data) if options.detach_keys else (data, False)
        for start in range(0, len(typed), INPUT_BYTES):
            await session.send(typed[start : start + INPUT_BYTES])
        if detached:
            raise _Detached
    await session.end_input()


async def _copy_output(session: ProgramSession, stream: RawStream, options: StreamOptions) -> ExecEnd | None:
    end = None
    try:
        async for output in session.outputs():
            match output.WhichOneof("kind"):
                case "stdout":
                    await _write(stream, options.frame(Output.STDOUT, output.stdout))
                case "stderr":
                    await _write(stream, options.frame(Output.STDERR, output.stderr))
                case "end":
                    end = output.end
    except ShoalError as error:
        _log.info("a session ended early: %s", error)
        shown = Output.STDERR if Output.STDERR in options.outputs else Output.STDOUT
        await _write(stream, options.frame(shown, f"the session was lost: {error}\r\n".encode()))
        if options.on_lost is not None:
            await options.on_lost()
    return end


async def _write(stream: RawStream, data: bytes) -> None:
    if data:
        await stream.write(data)
