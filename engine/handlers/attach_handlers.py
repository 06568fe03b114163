"""`attach` and the size of a container's terminal."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup
from engine.cluster.managers import Managers
from engine.cluster.own_events import OwnEvents
from engine.cluster.program_session import ProgramSession
from engine.handlers.log_streams import LogOptions, log_frames
from engine.handlers.terminal_streams import (
    StreamOptions,
    Terminals,
    connect,
    content_type,
    detach_keys,
    terminal_size,
)
from engine.protocol.errors import conflict, not_implemented
from engine.protocol.frames import Output
from engine.server.call import Call
from engine.server.hijack import HijackedResponse
from engine.server.routes import Route
from engine.translate.container_facts import identifier, is_of_service
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.streams_pb2 import AttachStart, ExecInput
from shoal.container_states import state_text


class AttachHandlers:
    """The operations on a container's own streams."""

    def __init__(self, managers: Managers, lookup: ContainerLookup, events: OwnEvents) -> None:
        self._managers = managers
        self._lookup = lookup
        self._events = events
        self._terminals = Terminals()

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/containers/{id}/attach", self.attach, "ContainerAttach", hijacks=True),
            Route("GET", "/containers/{id}/attach/ws", self.attach_by_websocket, "ContainerAttachWebsocket"),
            Route("POST", "/containers/{id}/resize", self.resize, "ContainerResize"),
        ]

    async def attach(self, call: Call) -> web.StreamResponse:
        """Before the start too: the head goes out when no byte of the program can be missed any more."""
        view = await self._lookup.find(call.parameters["id"])
        if state_text(view) == "paused":
            raise conflict(f"container {identifier(view)} is paused, unpause the container before attach")
        options, stream = _options(call, view), call.boolean("stream")
        async with ProgramSession(self._managers, *self._attachment(view)) as session:
            if stream:
                await session.begin()
            raw = call.hijack(content_type(call.version, terminal=options.terminal))
            self._events.report(view, "attach")
            if call.boolean("logs"):
                await self._write_logs(raw.write, view, options)
            self._terminals.add(identifier(view), session)
            try:
                if stream:
                    await connect(session, raw, options)
                else:
                    await raw.close()
            finally:
                self._terminals.remove(identifier(view), session)
        return HijackedResponse()

    async def attach_by_websocket(self, _: Call) -> web.StreamResponse:
        """
        Raises:
            ApiError: 501.
        """
        raise not_implemented("attach by WebSocket is not implemented; use POST /containers/{id}/attach")

    async def resize(self, call: Call) -> web.StreamResponse:
        """Of a session of this engine, else by one that is opened for that."""
        view = await self._lookup.find(call.parameters["id"])
        size = terminal_size(call.integer("h", 0), call.integer("w", 0))
        if state_text(view) not in ("running", "paused", "restarting", "created"):
            raise conflict(f"container {identifier(view)} is not running")
        if await self._terminals.resize(identifier(view), size):
            return call.empty(200)
        if state_text(view) == "running":
            method, first = self._attachment(view)
            first.attach.terminal.CopyFrom(size)
            first.attach.wait = False
            async with ProgramSession(self._managers, method, first) as session:
                await session.begin()
        return call.empty(200)

    def _attachment(self, view: ContainerView) -> tuple[Callable[..., Any], ExecInput]:
        if is_of_service(view):
            return self._managers.control.Attach, ExecInput(attach=AttachStart(task=view.task.id))
        start = AttachStart(task=view.container.meta.id, wait=True)
        return self._managers.containers.AttachContainer, ExecInput(attach=start)

    async def _write_logs(
        self, write: Callable[[bytes], Awaitable[None]], view: ContainerView, options: StreamOptions
    ) -> None:
        chosen = LogOptions(terminal=options.terminal, outputs=options.outputs)
        async with aclosing(log_frames(self._managers, view, chosen)) as frames:
            async for data in frames:
                await write(data)


def _options(call: Call, view: ContainerView) -> StreamOptions:
    spec = view.container.definition.task.container
    outputs = [output for name, output in (("stdout", Output.STDOUT), ("stderr", Output.STDERR)) if call.boolean(name)]
    if spec.tty and outputs:
        outputs = [Output.STDOUT]
    return StreamOptions(
        terminal=spec.tty,
        stdin=call.boolean("stdin") and spec.stdin_open,
        outputs=outputs,
        detach_keys=detach_keys(call.text("detachKeys"), terminal=spec.tty),
    )
