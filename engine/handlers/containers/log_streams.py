"""Logs of a container as streams of output: what `logs` answers, and `attach` before it streams."""

import time
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass

from engine.cluster.container_lookup import reference_of
from engine.protocol.frames import Output
from engine.translate.containers.container_facts import is_of_service
from engine.translate.containers.log_frames import LogFrames
from shoal.api.v1.control_pb2 import LogsRequest
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.errors import Unavailable
from shoal.manager_calls.managers import Managers
from shoal.resumption.log_resumption import LogResumption


@dataclass(frozen=True)
class LogOptions:
    """Which lines, and how.

    Attributes:
        terminal: lines are raw, not in frames.
        tail: the newest so many lines; None: all.
        since_ns, until_ns: nanoseconds since the Unix epoch; 0: no bound.
        timestamps: before each line, with nine digits of the second.
        large_frames: the client takes no frame for a line.
    """

    terminal: bool
    outputs: Collection[Output] = (Output.STDOUT, Output.STDERR)
    follow: bool = False
    tail: int | None = None
    since_ns: int = 0
    until_ns: int = 0
    timestamps: bool = False
    large_frames: bool = False

    def frames(self, details: str = "") -> LogFrames:
        """For the lines of one run of a program. Details as of `LogFrames`."""
        return LogFrames(
            terminal=self.terminal,
            outputs=self.outputs,
            timestamps=self.timestamps,
            details=details,
            large=self.large_frames,
        )


async def log_frames(managers: Managers, view: ContainerView, options: LogOptions) -> AsyncGenerator[bytes]:
    """The log of a container, as the client gets it, in pieces.

    With `follow`, an empty piece says that its node reads the log.

    Raises:
        ShoalError: its log is not kept. Unavailable: its node is away; who follows waits for it.
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
    resumption = LogResumption(request, started_ns=time.time_ns())
    task_id, formatter = "", options.frames()
    async with aclosing(managers.resumed_stream(managers.control.Logs, resumption)) as responses:
        async for response in responses:
            if response.warning and not options.follow:
                raise Unavailable(response.warning)
            for chunk in response.batch.chunks:
                if chunk.task_id != task_id:
                    if held := formatter.finish():
                        yield held
                    task_id, formatter = chunk.task_id, options.frames()
                data = formatter.format(chunk.lines)
                if data or options.follow:
                    yield data
    if held := formatter.finish():
        yield held
