"""gRPC servicer of `AgentBuilds`: builds on this node, so many at once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from grpc import aio

from agent.build.build_host import BuildHost
from agent.build.running_build import RunningBuild
from agent.build.spare_program import SparePrograms
from shoal.api.v1.builds_pb2 import (
    AgentBuildInput,
    AgentBuildOutput,
    BuildOutput,
    BuildWaiting,
    ListBuildCacheRequest,
    ListBuildCacheResponse,
    PruneBuildCacheRequest,
    PruneBuildCacheResponse,
)
from shoal.api.v1.builds_pb2_grpc import AgentBuildsServicer
from shoal.errors import Exhausted, InvalidInput

MAX_BUILDS = 4
MAX_WAITING = 64


class AgentBuildsService(AgentBuildsServicer):
    """Serves managers."""

    def __init__(self, host: BuildHost) -> None:
        self._host = host
        self._slots = asyncio.Semaphore(MAX_BUILDS)
        self._ahead = 0
        self._programs = SparePrograms()
        self._ending: set[asyncio.Task[None]] = set()

    async def Build(  # noqa: N802  # named by the protocol
        self,
        request_iterator: AsyncIterator[AgentBuildInput],
        context: aio.ServicerContext[AgentBuildInput, AgentBuildOutput],
    ) -> AsyncGenerator[AgentBuildOutput]:
        """Build an image. Raises as `RunningBuild.run`; Exhausted: too many wait."""
        del context
        first = await anext(request_iterator, None)
        if first is None or not first.HasField("start"):
            raise InvalidInput("the first message must be `start`")
        if self._ahead >= MAX_WAITING:
            raise Exhausted(f"{self._ahead} builds run or wait on this node; try again later")
        if self._slots.locked():
            yield AgentBuildOutput(output=BuildOutput(waiting=BuildWaiting(ahead=self._ahead)))
        self._ahead += 1
        build = RunningBuild(self._host, first.start, request_iterator, self._programs)
        try:
            async with self._slots, aclosing(build.run()) as outputs:
                async for output in outputs:
                    yield output
        finally:
            self._ahead -= 1
            self._programs.prepare()
            await self._end(build)

    async def _end(self, build: RunningBuild) -> None:
        """What has published its image is not waited for."""
        ending = asyncio.create_task(build.end(), name="end of a build")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        if not build.is_published:
            await asyncio.shield(ending)

    async def aclose(self) -> None:
        """End what goes on behind builds."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._programs.aclose()

    async def ListBuildCache(  # noqa: N802  # named by the protocol
        self,
        request: ListBuildCacheRequest,
        context: aio.ServicerContext[ListBuildCacheRequest, ListBuildCacheResponse],
    ) -> ListBuildCacheResponse:
        """What is kept of builds. Raises InvalidInput: an unknown filter."""
        del context
        return await self._host.cache.list(request)

    async def PruneBuildCache(  # noqa: N802  # named by the protocol
        self,
        request: PruneBuildCacheRequest,
        context: aio.ServicerContext[PruneBuildCacheRequest, PruneBuildCacheResponse],
    ) -> PruneBuildCacheResponse:
        """Delete what is not used. Raises InvalidInput: an unknown filter; Unavailable: the disk fails."""
        del context
        return await self._host.cache.prune(request)
