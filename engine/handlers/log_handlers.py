"""`logs` of a container."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup
from engine.cluster.managers import Managers
from engine.handlers.log_streams import LogOptions, log_frames
from engine.handlers.terminal_streams import content_type
from engine.protocol.errors import bad_request, not_implemented
from engine.protocol.frames import Output
from engine.protocol.parameters import nanoseconds
from engine.server.call import Call
from engine.server.routes import Route
from shoal.errors import Refused


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
        )
        async with aclosing(log_frames(self._managers, view, options)) as frames:
            # With `follow` the head goes out at once, else the first lines show whether there are any.
            first = b"" if options.follow else await _first(frames)
            response = await call.stream(content_type(call.version, terminal=options.terminal))
            await response.write(first)
            async for data in frames:
                await response.write(data)
        return response


async def _first(frames: AsyncGenerator[bytes]) -> bytes:
    try:
        return await anext(frames, b"")
    except Refused as error:
        raise not_implemented(str(error)) from error


def tail_of(text: str) -> int | None:
    """How many lines; None for all: `all`, nothing, and what is no number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
