"""`logs` of a container."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup
from engine.handlers.containers.log_streams import LogOptions, log_frames
from engine.handlers.containers.terminal_streams import content_type
from engine.protocol.errors import bad_request, not_implemented
from engine.protocol.frames import Output
from engine.protocol.parameters import nanoseconds
from engine.server.call import Call
from engine.server.routes import Route
from shoal.errors import Refused
from shoal.manager_calls.managers import Managers

COMMAND_LINE = "Docker-Client/"
"""What the docker command line calls itself."""
FOLLOW_SECONDS = 0.5
"""How long the head of an answer with `follow` waits until the container's node reads its log."""


class LogHandlers:
    """The operation on logs."""

    def __init__(self, managers: Managers, lookup: ContainerLookup) -> None:
        self._managers = managers
        self._lookup = lookup

    def routes(self) -> list[Route]:
        return [Route("GET", "/containers/{id}/logs", self.logs, "ContainerLogs")]

    async def logs(self, call: Call) -> web.StreamResponse:
        """Lines as they are stored, over all runs; with `follow` those that come, until it has ended."""
        outputs = [
            output for name, output in (("stdout", Output.STDOUT), ("stderr", Output.STDERR)) if call.boolean(name)
        ]
        if not outputs:
            raise bad_request("Bad parameters: you must choose at least one stream")
        view = await self._lookup.find(call.parameters["id"])
        definition = view.container.definition
        if definition.task.log.disabled:
            raise not_implemented("configured logging driver does not support reading")
        options = LogOptions(
            terminal=definition.task.container.tty,
            outputs=outputs,
            follow=call.boolean("follow"),
            tail=tail_of(call.text("tail")),
            since_ns=nanoseconds("since", call.text("since")),
            until_ns=nanoseconds("until", call.text("until")),
            timestamps=call.boolean("timestamps"),
            large_frames=call.header("user-agent").startswith(COMMAND_LINE),
        )
        async with aclosing(log_frames(self._managers, view, options)) as frames, _first_of(frames) as first:
            # Some clients remove the container when they have the head, and read the body after that.
            await asyncio.wait([first], timeout=FOLLOW_SECONDS if options.follow else None)
            if first.done():
                _check_readable(first)
            response = await call.stream(content_type(call.version, terminal=options.terminal))
            await response.write(await first)
            async for data in frames:
                if data:
                    await response.write(data)
        return response


@asynccontextmanager
async def _first_of(frames: AsyncGenerator[bytes]) -> AsyncGenerator[asyncio.Task[bytes]]:
    """The first piece while it is being waited for; nothing of it is left afterwards."""

    async def first() -> bytes:
        return await anext(frames, b"")

    task = asyncio.create_task(first())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def _check_readable(first: asyncio.Task[bytes]) -> None:
    """Before the head goes out: after it, only the end of the connection would tell of an error."""
    error = first.exception()
    if isinstance(error, Refused):
        raise not_implemented(str(error)) from error
    if error is not None:
        raise error


def tail_of(text: str) -> int | None:
    """How many lines; None for all: `all`, nothing, and what is no number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
