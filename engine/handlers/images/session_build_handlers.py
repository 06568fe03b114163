"""`POST /build` of version 2: the client's session has what the build needs, progress is BuildKit's."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from aiohttp import web

from engine.buildkit.build_inputs import ClientInputs
from engine.buildkit.build_run import Built, SolveFailed
from engine.buildkit.builder import Builder
from engine.buildkit.session.client_session import ClientSessions
from engine.buildkit.status_feed import StatusFeed
from engine.buildkit.translation.exporters import ResultOptions
from engine.buildkit.translation.frontend_options import FrontendOptions
from engine.buildkit.translation.session_requests import (
    UPLOAD,
    is_archive,
    read_outputs,
    result_lines,
    session_build,
    trace_line,
)
from engine.protocol.errors import bad_request, error_in_stream, not_found
from engine.server.call import Call, json_line
from engine.server.callers import ApiCaller
from engine.translate.images.build_request import BuildQuery, read_build

WAIT_SECONDS = 60.0
"""For the request whose body is the context."""


class SessionBuilds:
    """The builds that are under way, by caller and `buildid`."""

    def __init__(self, builder: Builder, sessions: ClientSessions) -> None:
        self._builder = builder
        self._sessions = sessions
        self._running: dict[tuple[ApiCaller, str], asyncio.Task[Built]] = {}
        self._uploads: dict[tuple[ApiCaller, str], asyncio.Future[_Upload]] = {}

    async def build(self, call: Call, query: BuildQuery) -> web.StreamResponse:
        """A build; or, where `buildid` says so, the context of one."""
        identifier = query.text("buildid")
        if identifier.startswith(f"{UPLOAD}:"):
            return await self._receive(call, identifier.removeprefix(f"{UPLOAD}:"))
        start = read_build(query, in_session=True).start
        result = read_outputs(query, start.names)
        options = session_build(query, start, result)
        session = query.text("session")
        if not session:
            raise bad_request("no session is given")
        context = self._context(call, query, identifier)
        inputs = ClientInputs(self._sessions, call.caller, session, options, context)
        return await self._stream(call, identifier, inputs, options, result)

    def _context(self, call: Call, query: BuildQuery, identifier: str) -> Callable[[], AsyncGenerator[bytes]] | None:
        """The context as an archive; None: it is elsewhere."""
        if not is_archive(query):
            return None
        if query.text("remote"):
            return lambda: self._upload((call.caller, identifier))
        return lambda: _body(call)

    async def cancel(self, call: Call) -> web.StreamResponse:
        """End a build."""
        building = self._running.get((call.caller, call.text("id")))
        if building is None:
            raise not_found(f"no build {call.text('id')[:80]} is running")
        building.cancel()
        return call.empty()

    async def _stream(
        self, call: Call, identifier: str, inputs: ClientInputs, options: FrontendOptions, result: ResultOptions
    ) -> web.StreamResponse:
        feed = StatusFeed()
        key, quiet = (call.caller, identifier), call.boolean("q")
        building = asyncio.create_task(self._builder.run(call.caller, inputs, options, result, feed, ref=identifier))
        building.add_done_callback(lambda _: feed.end())
        self._running[key] = building
        try:
            response = await call.stream()
            async for progress in feed.follow():
                await response.write(json_line(trace_line(progress)))
            try:
                built = await building
            except SolveFailed as error:
                await response.write(json_line(error_in_stream(f"failed to solve: {error.status.message}")))
            except asyncio.CancelledError:
                if not building.cancelled():
                    raise
                await response.write(json_line(error_in_stream("context canceled")))
            else:
                await response.write(b"".join(map(json_line, result_lines(built.result.image_id, quiet=quiet))))
        finally:
            building.cancel()
            await asyncio.gather(building, return_exceptions=True)
            if self._running.get(key) is building:
                del self._running[key]
            self._end_upload(key)
        return response

    async def _receive(self, call: Call, identifier: str) -> web.StreamResponse:
        """The body is read while the build goes on."""
        upload, key = _Upload(call), (call.caller, identifier)
        waiting = self._waiting(key)
        if waiting.done():
            raise bad_request("the context of this build has come already")
        waiting.set_result(upload)
        try:
            await upload.ended.wait()
        finally:  # the client may leave before a build wants it
            if self._uploads.get(key) is waiting:
                del self._uploads[key]
        return call.empty(200)

    def _end_upload(self, key: tuple[ApiCaller, str]) -> None:
        """The build has ended: a context that it has not read is not waited for any more."""
        waiting = self._uploads.pop(key, None)
        if waiting is not None and waiting.done() and not waiting.cancelled():
            waiting.result().ended.set()

    async def _upload(self, key: tuple[ApiCaller, str]) -> AsyncGenerator[bytes]:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                upload = await self._waiting(key)
        except TimeoutError:
            raise not_found("the context of this build has not come") from None
        try:
            async for data in _body(upload.call):
                yield data
        finally:
            upload.ended.set()

    def _waiting(self, key: tuple[ApiCaller, str]) -> "asyncio.Future[_Upload]":
        return self._uploads.setdefault(key, asyncio.get_running_loop().create_future())


async def _body(call: Call) -> AsyncGenerator[bytes]:
    while data := await call.request.content.readany():
        yield data


class _Upload:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.ended = asyncio.Event()
