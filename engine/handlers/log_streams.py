"""Logs of a container as streams of output: what `logs` answers, and `attach` before it streams."""

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass

from engine.cluster.container_lookup import reference_of
from engine.cluster.managers import Managers
from engine.protocol.frames import Output, frame
from engine.protocol.go_times import log_time_text
from engine.translate.container_facts import is_of_service
from shoal.api.v1.control_pb2 import LogsRequest
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.logs.log_lines import LogLine, parse_line


@dataclass(frozen=True)
class LogOptions:
    """Which lines, and how.

    Attributes:
        terminal: lines are raw, not in frames.
        tail: the newest so many lines; None: all.
        since_ns, until_ns: nanoseconds since the Unix epoch; 0: no bound.
        timestamps: before each line, with nine digits of the second.
        details: before each line, "a=b,c=d "; empty: none.
    """

    terminal: bool
    outputs: Collection[Output] = (Output.STDOUT, Output.STDERR)
    follow: bool = False
    tail: int | None = None
    since_ns: int = 0
    until_ns: int = 0
    timestamps: bool = False
    details: str = ""


async def log_frames(managers: Managers, view: ContainerView, options: LogOptions) -> AsyncGenerator[bytes]:
    """The log of a container, as the client gets it, in pieces.

    With `follow`, an empty piece says that its node reads the log.

    Raises:
        ShoalError: its node is away, or its log is not kept.
    """
    target = view.container.name if is_of_service(view) else reference_of(view)
    request = LogsRequest(
        target=target,
        follow=options.follow,
        since_ns=options.since_ns,
        until_ns=options.until_ns,
        announce=options.follow,
    )
    if options.tail is not None:
        request.tail = options.tail
    formatter = LineFormatter(options)
    async with aclosing(managers.stream(managers.control.Logs, request)) as responses:
        async for response in responses:
            if response.HasField("batch"):
                data = b"".join(
                    formatter.format(line) for chunk in response.batch.chunks for line in chunk.lines.split(b"\n")
                )
                if data or options.follow:
                    yield data


class LineFormatter:
    """Lines as they are stored, as a client gets them."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._continued = {Output.STDOUT: False, Output.STDERR: False}

    def format(self, stored: bytes) -> bytes:
        """One stored line; nothing of a stream that the client does not get."""
        line = parse_line(stored)
        if line is None:
            return b""
        output = Output.STDERR if line.is_stderr else Output.STDOUT
        if output not in self._options.outputs and not self._options.terminal:
            return b""
        data = self._head(line, output) + line.data + (b"" if line.partial else b"\n")
        self._continued[output] = line.partial
        return data if self._options.terminal else frame(output, data)

    def _head(self, line: LogLine, output: Output) -> bytes:
        """Before the first piece of a line."""
        if self._continued[output]:
            return b""
        stamp = f"{log_time_text(line.time_ns)} ".encode() if self._options.timestamps else b""
        return stamp + (f"{self._options.details} ".encode() if self._options.details else b"")
