"""One build from its first message to its last."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from agent.build.frames import ProgramSettings
from agent.build.program.agent_connection import AgentConnection
from agent.build.program.build_plan import PlannedVertices, plan_vertices
from agent.build.program.caching.cache_choice import cache_choice
from agent.build.program.caching.cache_images import CacheImages
from agent.build.program.caching.layer_cache import LayerCache
from agent.build.program.caching.registry_cache import RegistryCache
from agent.build.program.executor import Executor
from agent.build.program.planning import BaseImages, PlannedBuild, WholeContextNeeded, plan_build, send_warnings
from agent.build.program.publication.cache_export import CacheExport
from agent.build.program.publication.layer_blob import Compression
from agent.build.program.publication.publishing import Publisher
from agent.build.program.publication.result_output import ResultOutput
from agent.build.program.refusals import check_request
from agent.build.program.results import Layers
from agent.build.program.running.build_network import BuildNetworks
from agent.build.program.running.run_step import RunSteps
from agent.build.program.running.ssh_forwarding import SshForwarding
from agent.build.program.sources.context_input import ContextInput
from agent.build.program.sources.remote_context import fetch_context
from agent.build.program.vertex_work import VertexWork
from agent.build.program.workspace import Workspace
from agent.runtime.confinement.compiled_filters import CompiledFilters
from agent.runtime.host_facts import read_host_facts
from agent.runtime.kernel.cgroup_layout import parse_layout
from agent.safe_paths.mountinfo import read_mountinfo
from shoal.api.v1.builds_pb2 import (
    BuildFailure,
    BuildInput,
    BuildOutput,
    BuildResult,
    BuildStart,
    ContextRequest,
    SshRequest,
)
from shoal.dockerfile.graph.build_graph import BuildGraph, build_graph
from shoal.errors import InvalidInput, ShoalError, Unavailable
from shoal.image_reference import parse
from shoal.spec_parsers.builds.build_caches import read_cache

MAX_EPOCH_DIGITS = 12

if TYPE_CHECKING:
    from agent.build.program.publication.user_registries import UserRegistries


async def run_session(connection: AgentConnection, settings: ProgramSettings) -> None:
    """Serve one build, and tell how it ended."""
    inputs = connection.inputs()
    session = _Session(connection, settings)
    building = asyncio.create_task(session.run(), name="build")
    reading = asyncio.create_task(session.read(inputs), name="input")
    await asyncio.wait([building, reading], return_when=asyncio.FIRST_COMPLETED)
    if not building.done():  # the agent has ended, or the input is none
        error = reading.exception()
        building.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await building
        await connection.finish(_shown(error) if error is not None else Unavailable("the build was ended"))
        return
    reading.cancel()
    error = building.exception()
    await connection.finish(None if error is None else _shown(error))


def _shown(error: BaseException) -> ShoalError:
    if isinstance(error, ShoalError):
        return error
    sys.excepthook(type(error), error, error.__traceback__)
    if isinstance(error, OSError):
        return Unavailable(f"the node failed: {error.strerror or error}")
    return Unavailable(f"the build failed: {error!r}")


class _Session:
    def __init__(self, connection: AgentConnection, settings: ProgramSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._workspace = Workspace(Path(settings.work), settings.reserve_bytes)
        self._inputs = ContextInput(self._workspace, Path(settings.contexts), self._ask)
        self._ssh = SshForwarding([], self._ask_ssh)
        self._registries: UserRegistries | None = None
        self._start: asyncio.Future[BuildStart] = asyncio.get_running_loop().create_future()

    async def read(self, messages: AsyncGenerator[BuildInput]) -> None:
        """Take the input while the build goes on; it ends with the agent."""
        first = await anext(messages)
        if not first.HasField("start"):
            raise InvalidInput("the first message must be `start`")
        self._ssh.ids = list(first.start.ssh_ids)
        self._inputs.on_ssh_reply = self._ssh.answered
        self._start.set_result(first.start)
        await self._inputs.receive(messages)
        async for message in messages:  # answers of the agent are passed on where they are read
            if message.HasField("ssh_reply"):
                self._ssh.answered(message.ssh_reply)

    async def _ask_ssh(self, request: SshRequest) -> None:
        await self._connection.output(BuildOutput(ssh_request=request))

    async def _ask(self, request: ContextRequest) -> None:
        await self._connection.output(BuildOutput(context_request=request))

    async def run(self) -> None:
        """The build itself."""
        start = await self._start
        check_request(start, has_repository=bool(self._settings.image_repository))
        if start.remote_context:
            self._inputs.provide("", await fetch_context(start.remote_context, self._workspace))
        images = BaseImages(self._connection, self._user_of(start))
        planned = await self._plan(start, images)
        await send_warnings(self._connection, planned)
        if start.check_only:
            result = BuildResult(check_failed=bool(planned.report.error))
            await self._connection.output(BuildOutput(result=result))
            return
        if planned.report.error:
            raise InvalidInput(planned.report.error)
        graph = build_graph(planned.evaluation)
        vertices = plan_vertices(planned.evaluation, graph, self._settings.build_id)
        await self._connection.output(BuildOutput(plan=vertices.plan))
        await self._build(start, planned, graph, vertices, images)

    async def _plan(self, start: BuildStart, images: BaseImages) -> PlannedBuild:
        try:
            return await plan_build(start, self._settings, self._inputs, images)
        except WholeContextNeeded:
            await self._connection.output(BuildOutput(failure=BuildFailure(needs_whole_context=True)))
            raise

    async def _build(
        self, start: BuildStart, planned: PlannedBuild, graph: BuildGraph, vertices: PlannedVertices, images: BaseImages
    ) -> None:
        registry = RegistryCache(self._settings)
        imported = self._imported(start, registry)
        cache = LayerCache(self._connection, registry, imported=None if start.only_cache_from else imported)
        publisher = Publisher(
            self._workspace, images, cache, Compression(start.compression or "gzip", start.compression_level)
        )
        work = VertexWork(
            connection=self._connection,
            planned=vertices,
            workspace=self._workspace,
            inputs=self._inputs,
            images=images,
            runs=lambda: self._runs(start),
            cache=cache,
            cache_root=Path(self._settings.cache_mounts),
            epoch=epoch_of(start),
            uses_cache=cache_choice(start, planned.evaluation, graph),
            blobs=publisher if self._settings.image_repository else None,
            histories=imported if start.only_cache_from else None,
            ssh_agents=self._ssh,
        )
        executor = Executor(graph, vertices, work, self._connection, parallel=self._settings.cpus)
        results = await executor.run(planned.file_name)
        result = results[graph.target]
        assert isinstance(result, Layers)
        await self._connection.made()
        export = CacheExport(
            start.cache_to, self._connection, cache, publisher, self._settings.platform, lambda: self._user(start)
        )
        output = ResultOutput(self._connection, self._workspace, cache, publisher, export, lambda: self._user(start))
        await output.send(start, planned.evaluation, result, executor)
        if self._settings.image_repository:
            await cache.publish(publisher.upload)
        await registry.aclose()

    def _imported(self, start: BuildStart, registry: RegistryCache) -> CacheImages | None:
        if not (start.cache_from and self._settings.image_repository):
            return None
        caches = [read_cache(each, export=False) for each in start.cache_from]
        return CacheImages(self._connection, caches, lambda: self._user(start), registry, self._inputs.tree)

    def _user_of(self, start: BuildStart) -> Callable[[str], "UserRegistries | None"]:
        """Registries with the user's credentials, where there are some for a reference."""
        return lambda reference: self._user(start) if parse(reference).domain in start.credentials else None

    def _user(self, start: BuildStart) -> "UserRegistries":
        if self._registries is None:
            from agent.build.program.publication.user_registries import UserRegistries

            self._registries = UserRegistries(self._settings, start.credentials)
        return self._registries

    def _runs(self, start: BuildStart) -> RunSteps:
        layout = parse_layout(read_mountinfo())
        environment = self._settings.filter_environment
        return RunSteps(
            settings=self._settings,
            start=start,
            workspace=self._workspace,
            host=read_host_facts(layout, has_apparmor=self._settings.has_apparmor),
            filters=CompiledFilters(directory=Path(self._settings.filters), environment=environment),
            find_network=BuildNetworks(self._connection, self._settings, start).find,
        )


def epoch_of(start: BuildStart) -> int | None:
    """SOURCE_DATE_EPOCH of a build: asked for, or a build argument. Raises InvalidInput: it is no number."""
    if start.HasField("source_date_epoch"):
        return start.source_date_epoch
    text = start.build_args.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < MAX_EPOCH_DIGITS):
        raise InvalidInput(f"invalid SOURCE_DATE_EPOCH: {text[:40]!r} is no number of seconds")
    return int(text)
