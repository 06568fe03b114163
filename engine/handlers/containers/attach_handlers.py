"""`attach` and the size of a container's terminal."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup
from engine.cluster.own_events import OwnEvents
from engine.cluster.program_session import ProgramSession
from engine.handlers.containers.log_streams import LogOptions, log_frames
from engine.handlers.containers.terminal_streams import (
    StreamOptions,
    Terminals,
    connect,
    content_type,
    detach_keys,
    terminal_size,
)
from engine.handlers.restrictions import Restrictions
from engine.protocol.errors import conflict
from engine.protocol.frames import Output
from engine.protocol.versions import BINARY_WEBSOCKETS, WEBSOCKET_STREAMS
from engine.server.call import Call
from engine.server.hijack import HijackedResponse, RawStream
from engine.server.output_delivery import OutputDelivery
from engine.server.routes import Route
from engine.translate.containers.container_facts import identifier, is_of_service
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.streams_pb2 import AttachStart, ExecInput
from shoal.container_states import state_text
from shoal.manager_calls.managers import Managers


class AttachHandlers:
    """The operations on a container's own streams."""

    def __init__(
        self,
        managers: Managers,
        lookup: ContainerLookup,
        events: OwnEvents,
        delivery: OutputDelivery,
        *,
        restrictions: Restrictions,
    ) -> None:
        self._managers = managers
        self._delivery = delivery
        self._lookup = lookup
        self._events = events
        self._restrictions = restrictions
        self._terminals = Terminals()

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/containers/{id}/attach", self.attach, "ContainerAttach", hijacks=True),
            Route(
                "GET",
                "/containers/{id}/attach/ws",
                self.attach_by_websocket,
                "ContainerAttachWebsocket",
                remark="raw output, in text before 1.28",
            ),
            Route("POST", "/containers/{id}/resize", self.resize, "ContainerResize"),
        ]

    async def attach(self, call: Call) -> web.StreamResponse:
        """Before the start too: the head goes out when no byte of the program can be missed any more."""
        view = await self._attachable(call)
        options = _options(call, view)

        async def take_over() -> RawStream:
            return call.hijack(content_type(call.version, terminal=options.terminal))

        await self._run(call, view, options, take_over)
        return HijackedResponse()

    async def attach_by_websocket(self, call: Call) -> web.StreamResponse:
        """The same by a WebSocket, whose frames are the bytes of all outputs, without frames of Docker's."""
        view = await self._attachable(call)
        options, opened = _websocket_options(call, view), []

        async def upgrade() -> RawStream:
            opened.append(await call.websocket(binary=call.version >= BINARY_WEBSOCKETS))
            return opened[0]

        await self._run(call, view, options, upgrade)
        return opened[0].response

    async def _attachable(self, call: Call) -> ContainerView:
        view = await self._lookup.find(call.parameters["id"])
        if state_text(view) == "paused":
            raise conflict(f"container {identifier(view)} is paused, unpause the container before attach")
        await self._restrictions.check_use(call.caller, view)
        return view

    async def _run(
        self, call: Call, view: ContainerView, options: StreamOptions, open_stream: Callable[[], Awaitable[RawStream]]
    ) -> None:
        """Attach, then answer, then copy until the program ends or the client is gone."""
        stream = call.boolean("stream")
        async with ProgramSession(self._managers, *self._attachment(view)) as session:
            if stream:
                await session.begin()
            raw = await open_stream()
            self._events.report(view, "attach")
            if call.boolean("logs"):
                await self._write_logs(raw.write, view, options)
            self._terminals.add(identifier(view), session)
            try:
                if stream:
                    with self._delivery.under_way(identifier(view), raw) as watched:
                        await connect(session, watched, options)
                    if options.was_detached:
                        self._events.report(view, "detach")
                else:
                    await raw.close()
            finally:
                self._terminals.remove(identifier(view), session)

    async def resize(self, call: Call) -> web.StreamResponse:
        """Of a session of this engine, else by one that is opened for that."""
        view = await self._lookup.find(call.parameters["id"])
        size = terminal_size(call.integer("h", 0), call.integer("w", 0))
        if state_text(view) not in ("running", "paused", "restarting", "created"):
            raise conflict(f"container {identifier(view)} is not running")
        self._events.report(view, "resize", height=str(size.rows), width=str(size.columns))
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


def _websocket_options(call: Call, view: ContainerView) -> StreamOptions:
    """Raw output, with a terminal or not; of all streams for clients that cannot choose."""
    options, spec = _options(call, view), view.container.definition.task.container
    options.terminal = options.discards_input = True
    if call.version < WEBSOCKET_STREAMS:
        options.stdin = spec.stdin_open
        options.outputs = [Output.STDOUT] if spec.tty else [Output.STDOUT, Output.STDERR]
    return options
