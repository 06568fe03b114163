"""`build` as the classic builder has it, and the cache of builds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from engine.cluster.build_session import BuildSession
from engine.cluster.home_node import HomeNode
from engine.handlers.restrictions import Restrictions
from engine.server.call import Call, json_line
from engine.server.routes import Route
from engine.translate.images.build_cache import prune_document, read_prune
from engine.translate.images.build_request import BUILDKIT_VERSION, BuildQuery, BuildRequest, read_build
from engine.translate.images.classic_build import ClassicBuild, Line, dockerfile_error
from shoal.errors import ShoalError
from shoal.manager_calls.managers import Managers

CONFIG_HEADER = "X-Registry-Config"
DRAIN_SECONDS = 60.0
"""In which the rest of a context is read after a failure: clients read no answer before they have sent it."""
PRUNE_SECONDS = 600.0


class BuildHandlers:
    """The operations on builds.

    Args:
        network_name: finds the name of a network by a name or an id.
        in_session: serves builds of clients that have a session of BuildKit.
    """

    def __init__(
        self,
        managers: Managers,
        home: HomeNode,
        *,
        restrictions: Restrictions,
        network_name: Callable[[str], Awaitable[str]],
        in_session: Callable[[Call, BuildQuery], Awaitable[web.StreamResponse]],
    ) -> None:
        self._in_session = in_session
        self._managers = managers
        self._home = home
        self._restrictions = restrictions
        self._network_name = network_name

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/build", self.build, "ImageBuild"),
            Route("POST", "/build/prune", self.prune, "BuildPrune"),
        ]

    async def build(self, call: Call) -> web.StreamResponse:
        """Build an image from a context in the body, or from an address."""
        query = BuildQuery({name: call.texts(name) for name in call.request.query})
        if query.text("version") == BUILDKIT_VERSION:
            return await self._in_session(call, query)
        request = read_build(query, call.header(CONFIG_HEADER))
        self._restrictions.check_build(call.caller, request.start)
        if request.network:
            request.start.network = await self._network_name(request.network)
        request.start.only_cache_from = bool(request.start.cache_from)
        home = await self._home.find()
        request.start.preferred_node = home.node.meta.id if home is not None else ""
        async with BuildSession(self._managers, request.start) as session:
            sending = asyncio.create_task(_send(call, session, has_context=not request.start.remote_context))
            try:
                return await _report(call, session, request, sending)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def prune(self, call: Call) -> web.StreamResponse:
        """Delete what builds have left on all nodes."""
        request = read_prune(
            call.filters(),
            everything=call.boolean("all"),
            keep_bytes=call.integer("reserved-space", 0)
            or call.integer("keep-storage", 0)
            or call.integer("max-used-space", 0),
            now_ms=time.time_ns() // 1_000_000,
        )
        answer = await self._managers.call(self._managers.builds.PruneBuildCache, request, seconds=PRUNE_SECONDS)
        return call.json(prune_document(answer))


async def _send(call: Call, session: BuildSession, *, has_context: bool) -> None:
    while has_context and (data := await call.request.content.readany()):
        await session.send(data)
    await session.end_context()


async def _report(
    call: Call, session: BuildSession, request: BuildRequest, sending: "asyncio.Task[None]"
) -> web.StreamResponse:
    """The stream of the build. An error before its first line is an answer of its own, a later one its last line."""
    lines = ClassicBuild(
        labels=request.start.labels,
        removes=request.removes,
        removes_always=request.removes_always,
        quiet=request.quiet,
    )
    response: web.StreamResponse | None = None
    try:
        async for output in session.outputs():
            if lines_now := lines.lines(output):
                response = response or await call.stream()
                await response.write(_encoded(lines_now))
    except ShoalError as error:
        await _drain(call, sending)
        last = lines.unfinished()
        if response is None and not last:
            raise dockerfile_error(error) from error
        response = response or await call.stream()
        await response.write(_encoded([*last, lines.error(str(dockerfile_error(error)))]))
    return response or await call.stream()


async def _drain(call: Call, sending: "asyncio.Task[None]") -> None:
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while await call.request.content.readany():
                pass


def _encoded(lines: list[Line]) -> bytes:
    return b"".join(map(json_line, lines))
