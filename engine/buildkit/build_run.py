"""One build of a client: what it needs is fetched from the client, the build is a node's, the result goes back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from engine.buildkit.build_inputs import ClientInputs, LocalDockerfile, needs_of
from engine.buildkit.session.client_session import ClientSession
from engine.buildkit.session.result_files import DirectorySink, FileSink, ResultSink
from engine.buildkit.session.ssh_agent import answer
from engine.buildkit.status_feed import StatusFeed
from engine.buildkit.translation.build_errors import status_of
from engine.buildkit.translation.exporters import ResultOptions
from engine.buildkit.translation.frontend_options import FrontendOptions
from engine.buildkit.translation.progress import BuildProgress
from engine.buildkit.v1.gateway_pb2 import Status
from engine.cluster.build_session import BuildSession
from shoal.api.v1.builds_pb2 import BuildResult, BuildStart, BuildWarning, ContextRequest
from shoal.errors import ShoalError, Unavailable
from shoal.manager_calls.managers import Managers

_CONTEXT = "[internal] load build context"
_TRANSFER = "transferring context:"
_REPORT_SECONDS = 0.1
"""Between two messages about what has been transferred."""


class SolveFailed(Exception):
    """Attributes: status: of the call that has asked for the build."""

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(status.message)


@dataclass(frozen=True)
class Built:
    """Attributes: dockerfile: None: it was not the client's."""

    result: BuildResult
    warnings: list[BuildWarning]
    dockerfile: LocalDockerfile | None


class BuildRun:
    """One build.

    Args:
        ref: of the solve.
        check: whether the caller may have it. Raises ShoalError.
        preferred_node: finds the node for a name that was never built.
    """

    def __init__(
        self,
        managers: Managers,
        inputs: ClientInputs,
        options: FrontendOptions,
        result: ResultOptions,
        feed: StatusFeed,
        *,
        ref: str,
        check: Callable[[BuildStart], None],
        preferred_node: Callable[[], Awaitable[str]],
    ) -> None:
        self._managers = managers
        self._inputs = inputs
        self._options = options
        self._result = result
        self._feed = feed
        self._check = check
        self._preferred_node = preferred_node
        self._progress = BuildProgress(ref, time.time_ns)
        self._dockerfile: LocalDockerfile | None = None
        self._requests: asyncio.Queue[ContextRequest] = asyncio.Queue()

    async def run(self) -> Built:
        """Build. Raises SolveFailed."""
        try:
            result = await self._run()
        except ShoalError as error:
            await self._feed.put(self._progress.open_vertices(str(error)))
            name, text = (self._dockerfile.name, self._dockerfile.text) if self._dockerfile else ("", b"")
            raise SolveFailed(status_of(error, self._progress.failure, name, text)) from error
        return Built(result, self._progress.warnings, self._dockerfile)

    async def _run(self) -> BuildResult:
        start = self._options.start
        self._check(start)
        self._dockerfile = await self._read_dockerfile()
        if self._dockerfile is not None:
            start.dockerfile, start.dockerfile_text = self._dockerfile.name, self._dockerfile.text
        else:
            start.dockerfile = self._options.file_name
        needs = needs_of(self._dockerfile, start)
        await self._inputs.add_credentials(start, needs)
        await self._inputs.add_ssh_agents(start, needs)
        secrets = await self._inputs.secrets(needs)
        patterns = await self._read_patterns() if self._options.context_directory else ()
        start.preferred_node = await self._preferred_node()
        paths = needs.paths if self._options.context_directory and not self._inputs.has_archive else None
        start.partial_context = paths is not None
        try:
            return await self._attempt(secrets, patterns, paths)
        except ShoalError:
            failure = self._progress.failure
            if not (start.partial_context and failure is not None and failure.needs_whole_context):
                raise
        self._progress.failure = None
        start.partial_context = False
        return await self._attempt(secrets, patterns, None)

    async def _attempt(
        self, secrets: dict[str, bytes], patterns: tuple[str, ...], paths: tuple[str, ...] | None
    ) -> BuildResult:
        """Build with these paths of the main context; None: with all of it."""
        self._requests = asyncio.Queue()
        async with AsyncExitStack() as stack:
            sink = self._sink(await self._inputs.session())
            if sink is not None:
                stack.push_async_callback(sink.close)
            session = await stack.enter_async_context(BuildSession(self._managers, self._options.start))
            sending = asyncio.create_task(self._send(session, secrets, patterns, paths))
            try:
                result = await self._receive(session, sending, sink)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            if sink is not None:
                await self._finish(sink)
        return result

    async def _read_dockerfile(self) -> LocalDockerfile | None:
        if not self._options.dockerfile_directory:
            return None
        vertex = await self._begin(f"[internal] load build definition from {self._options.file_name}")
        found = await self._inputs.dockerfile()
        if found is not None:
            self._progress.set_dockerfile(found.name, found.text)
            await self._transferred(vertex, "transferring dockerfile:", len(found.text))
        await self._feed.put(self._progress.end(vertex))
        return found

    async def _read_patterns(self) -> tuple[str, ...]:
        vertex = await self._begin("[internal] load .dockerignore")
        found = await self._inputs.patterns(self._dockerfile)
        await self._feed.put(self._progress.end(vertex))
        return found

    def _sink(self, session: ClientSession) -> ResultSink | None:
        if self._result.is_file:
            return FileSink(session, 0)
        return DirectorySink(session, 0) if self._result.is_directory else None

    async def _send(
        self, session: BuildSession, secrets: dict[str, bytes], patterns: tuple[str, ...], paths: tuple[str, ...] | None
    ) -> None:
        for identifier, value in secrets.items():
            await session.send_secret(identifier, value)
        for name, directory in self._options.directories.items():
            await self._send_listed(session, f"[context {name}] load from client", directory, name)
        is_needed = self._dockerfile is None or not self._options.start.check_only
        if self._inputs.has_archive:
            await self._send_archive(session)
        elif self._options.context_directory and is_needed and paths != ():
            await self._send_listed(session, _CONTEXT, self._options.context_directory, "", patterns, paths or ())
        await session.end_context()

    async def _send_archive(self, session: BuildSession) -> None:
        vertex = await self._begin(_CONTEXT)
        size, reported_at = 0, time.monotonic()
        async with aclosing(self._inputs.archive()) as pieces:
            async for piece in pieces:
                await session.send(piece)
                size += len(piece)
                reported_at = await self._report(vertex, size, reported_at)
        await self._transferred(vertex, _TRANSFER, size)
        await self._feed.put(self._progress.end(vertex))

    async def _send_listed(
        self,
        session: BuildSession,
        shown: str,
        directory: str,
        name: str,
        exclude: tuple[str, ...] = (),
        follow: tuple[str, ...] = (),
    ) -> None:
        """A directory: its list, then what the node requests of it."""
        vertex = await self._begin(shown)
        async with self._inputs.listed(directory, name, exclude, follow) as listed:
            async with aclosing(listed.listing()) as messages:
                async for message in messages:
                    await session.put(message)
            request = await self._requests.get()
            if not request.final:
                for message in listed.digests(request.digests):
                    await session.put(message)
                request = await self._requests.get()
            reported_at = time.monotonic()
            async with aclosing(listed.contents(request.contents)) as messages:
                async for message in messages:
                    await session.put(message)
                    reported_at = await self._report(vertex, listed.sent_bytes, reported_at)
        await self._transferred(vertex, _TRANSFER, listed.sent_bytes)
        await self._feed.put(self._progress.end(vertex))

    async def _report(self, vertex: str, size: int, reported_at: float) -> float:
        """What has been transferred, now and then; the moment of the last report."""
        if time.monotonic() - reported_at < _REPORT_SECONDS:
            return reported_at
        await self._feed.put(self._progress.transferred(vertex, _TRANSFER, size, is_complete=False))
        return time.monotonic()

    async def _receive(
        self, session: BuildSession, sending: "asyncio.Task[None]", sink: ResultSink | None
    ) -> BuildResult:
        """The node's output, unless the client cannot give what it needs."""
        receiving = asyncio.create_task(self._outputs(session, sink))
        try:
            await asyncio.wait((receiving, sending), return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                sending.result()
            return await receiving
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _outputs(self, session: BuildSession, sink: ResultSink | None) -> BuildResult:
        async for output in session.outputs():
            if output.HasField("file_data"):
                if sink is not None:
                    await sink.write(output.file_data)
            elif output.HasField("context_request"):
                self._requests.put_nowait(output.context_request)
            elif output.HasField("ssh_request"):
                await session.reply(await answer(await self._inputs.session(), output.ssh_request))
            elif (response := self._progress.translate(output)) is not None:
                await self._feed.put(response)
        if self._progress.result is None:
            raise Unavailable("the build has ended without a result")
        return self._progress.result

    async def _finish(self, sink: ResultSink) -> None:
        vertex = await self._begin("exporting to client directory" if self._result.is_directory else "sending tarball")
        await sink.finish()
        await self._feed.put(self._progress.end(vertex))

    async def _begin(self, name: str) -> str:
        vertex, response = self._progress.begin(name)
        await self._feed.put(response)
        return vertex

    async def _transferred(self, vertex: str, what: str, size: int) -> None:
        await self._feed.put(self._progress.transferred(vertex, what, size, is_complete=True))
