"""An engine without a cluster: the server with handlers that run programs of this host in memory.

What it answers to `create`, `attach`, `wait`, `start`, `exec` and `logs` is enough for the docker CLI. A container's
program is a function from its input to its output.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from engine.handlers.ping import ping_routes
from engine.protocol.errors import bad_request, not_found
from engine.protocol.frames import Output, frame
from engine.server.call import Call
from engine.server.hijack import MULTIPLEXED, RAW, HijackedResponse, RawStream
from engine.server.routes import Route, RouteTable

Program = Callable[["Streams", list[str]], Awaitable[int]]


async def _is_never_active() -> bool:
    return False


@dataclass
class Streams:
    """The standard streams of a program that was attached to."""

    raw: RawStream
    tty: bool

    async def input(self) -> AsyncIterator[bytes]:
        while data := await self.raw.read():
            yield data

    async def write(self, data: bytes, output: Output = Output.STDOUT) -> None:
        await self.raw.write(data if self.tty else frame(output, data))


async def cat(streams: Streams, arguments: list[str]) -> int:
    """Copies its input to its output."""
    async for data in streams.input():
        await streams.write(data)
    return 0


async def seq(streams: Streams, arguments: list[str]) -> int:
    """Numbers up to the argument, a line each; nothing of the input."""
    for start in range(0, int(arguments[0]), 1000):
        numbers = range(start + 1, min(start + 1000, int(arguments[0])) + 1)
        await streams.write("".join(f"{number}\n" for number in numbers).encode())
        await asyncio.sleep(0)
    return 0


async def both(streams: Streams, arguments: list[str]) -> int:
    """A line on each output, then the code of the argument; slowly, so that the client has closed its half before."""
    await asyncio.sleep(0.3)
    await streams.write(b"to stdout\n")
    await streams.write(b"to stderr\n", Output.STDERR)
    return int(arguments[0])


async def forever(streams: Streams, arguments: list[str]) -> int:
    """Never ends."""
    await asyncio.Event().wait()
    return 0


async def later(streams: Streams, arguments: list[str]) -> int:
    """A line after so many seconds."""
    await asyncio.sleep(float(arguments[0]))
    await streams.write(b"later\n")
    return 0


PROGRAMS: dict[str, Program] = {"cat": cat, "seq": seq, "both": both, "forever": forever, "later": later}


@dataclass
class Container:
    """What was created and may be attached to."""

    program: Program
    arguments: list[str]
    tty: bool
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    exit_code: int = 0


class StandIn:
    """Containers in memory, behind the routes of the API.

    Attributes:
        attached: streams that are open now.
    """

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        self.attached = 0
        self._count = 0

    def routes(self) -> RouteTable:
        return RouteTable(
            [
                *ping_routes(is_swarm_active=_is_never_active),
                Route("POST", "/containers/create", self._create, "ContainerCreate"),
                Route("POST", "/containers/{id}/attach", self._attach, "ContainerAttach", hijacks=True),
                Route("POST", "/containers/{id}/wait", self._wait, "ContainerWait"),
                Route("POST", "/containers/{id}/start", self._start, "ContainerStart"),
                Route("GET", "/containers/{id}/json", self._inspect, "ContainerInspect"),
                Route("POST", "/containers/{id}/exec", self._create, "ContainerExec"),
                Route("POST", "/exec/{id}/start", self._exec, "ExecStart", hijacks=True),
                Route("GET", "/exec/{id}/json", self._inspect_exec, "ExecInspect"),
                Route("POST", "/echo/{name:.*}", self._echo, "Echo"),
            ]
        )

    def _find(self, call: Call) -> Container:
        found = self.containers.get(call.parameters["id"])
        if found is None:
            raise not_found(f"No such container: {call.parameters['id']}")
        return found

    async def _create(self, call: Call) -> web.StreamResponse:
        document = await call.json_object()
        match document.get("Cmd"):
            case [str(name), *arguments] if name in PROGRAMS:
                pass
            case command:
                raise bad_request(f"no such program: {command!r}")
        self._count += 1
        identifier = f"{self._count:064x}"
        self.containers[identifier] = Container(PROGRAMS[name], arguments, bool(document.get("Tty")))
        return call.json({"Id": identifier, "Warnings": []}, HTTPStatus.CREATED)

    async def _start(self, call: Call) -> web.StreamResponse:
        self._find(call).started.set()
        return call.empty()

    async def _wait(self, call: Call) -> web.StreamResponse:
        container = self._find(call)
        response = await call.stream()
        await container.ended.wait()
        await response.write(b'{"StatusCode":%d}\n' % container.exit_code)
        return response

    async def _attach(self, call: Call) -> web.StreamResponse:
        container = self._find(call)
        return await self._run(call, container, wait=True)

    async def _exec(self, call: Call) -> web.StreamResponse:
        await call.json_object(optional=True)
        return await self._run(call, self._find(call), wait=False)

    async def _run(self, call: Call, container: Container, *, wait: bool) -> web.StreamResponse:
        raw = call.hijack(RAW if container.tty else MULTIPLEXED)
        self.attached += 1
        try:
            if wait:
                await container.started.wait()
            container.exit_code = await container.program(Streams(raw, container.tty), container.arguments)
        finally:
            self.attached -= 1
            container.ended.set()
        await raw.close()
        return HijackedResponse()

    async def _inspect(self, call: Call) -> web.StreamResponse:
        container = self._find(call)
        return call.json({"Id": call.parameters["id"], "Config": {"Tty": container.tty}, "State": {"Running": True}})

    async def _inspect_exec(self, call: Call) -> web.StreamResponse:
        container = self._find(call)
        running = not container.ended.is_set()
        return call.json({"ID": call.parameters["id"], "Running": running, "ExitCode": container.exit_code})

    async def _echo(self, call: Call) -> web.StreamResponse:
        return call.json({"name": call.parameters["name"], "body": await call.json_object(optional=True)})
