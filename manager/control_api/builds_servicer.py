"""The Builds gRPC service: passes each call to its handler."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from manager.builds.build_cache_handler import BuildCacheHandler
from manager.builds.build_handler import BuildHandler
from shoal.api.v1 import builds_pb2
from shoal.api.v1.builds_pb2_grpc import BuildsServicer
from shoal.rpc.caller import Context, caller_of


class BuildsService(BuildsServicer):
    """Errors are raised as `ShoalError`; `shoal.rpc.guard` turns them into statuses, and has checked the role."""

    # ruff: noqa: N802  # the methods are named by the protocol

    def __init__(self, builds: BuildHandler, cache: BuildCacheHandler) -> None:
        self._builds = builds
        self._cache = cache

    async def Build(
        self, request_iterator: AsyncIterator[builds_pb2.BuildInput], context: Context
    ) -> AsyncGenerator[builds_pb2.BuildOutput]:
        async with aclosing(self._builds.build(request_iterator, caller_of(context))) as outputs:
            async for output in outputs:
                yield output

    async def NameIndex(self, request: builds_pb2.NameIndexRequest, context: Context) -> builds_pb2.BuildResult:
        return await self._builds.name_index(request, caller_of(context))

    async def ListBuildCache(
        self, request: builds_pb2.ListBuildCacheRequest, context: Context
    ) -> builds_pb2.ListBuildCacheResponse:
        return await self._cache.list(request, caller_of(context))

    async def PruneBuildCache(
        self, request: builds_pb2.PruneBuildCacheRequest, context: Context
    ) -> builds_pb2.PruneBuildCacheResponse:
        return await self._cache.prune(request, caller_of(context))
