"""gRPC servicer of `Control`: solves, their progress, workers, and the cache of builds."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from engine.buildkit.builder import Builder, exporter_response
from engine.buildkit.rpc_errors import CallFailed, Context, abort, failures
from engine.buildkit.solves import RunningSolve, Solves
from engine.buildkit.translation.cache_rows import prune_request, read_filters, usage_record
from engine.buildkit.translation.capabilities import version, worker
from engine.buildkit.translation.definitions import refuse
from engine.buildkit.v1.control_pb2 import (
    DiskUsageRequest,
    DiskUsageResponse,
    InfoRequest,
    InfoResponse,
    ListWorkersRequest,
    ListWorkersResponse,
    PruneRequest,
    SolveRequest,
    SolveResponse,
    StatusRequest,
    StatusResponse,
    UsageRecord,
)
from engine.buildkit.v1.control_pb2_grpc import ControlServicer
from engine.server.callers import ApiCaller
from shoal.api.v1.builds_pb2 import ListBuildCacheRequest
from shoal.manager_calls.managers import SIZE_SECONDS, Managers

PRUNE_SECONDS = 600.0

Platforms = Callable[[], Awaitable[Iterable[tuple[str, str]]]]


class BuildkitControl(ControlServicer):
    """Serves one caller.

    Args:
        platforms: finds those of the nodes that are ready.
    """

    def __init__(
        self, managers: Managers, solves: Solves, builder: Builder, caller: ApiCaller, *, platforms: Platforms
    ) -> None:
        self._managers = managers
        self._solves = solves
        self._builder = builder
        self._caller = caller
        self._platforms = platforms

    async def Info(self, request: InfoRequest, context: Context) -> InfoResponse:  # noqa: N802  # named by the protocol
        """Whose API it is."""
        return InfoResponse(buildkit_version=version())

    async def ListWorkers(self, request: ListWorkersRequest, context: Context) -> ListWorkersResponse:  # noqa: N802
        """The cluster."""
        try:
            with failures():
                return ListWorkersResponse(record=[worker(await self._platforms())])
        except CallFailed as error:
            await abort(context, error.status)

    async def Solve(self, request: SolveRequest, context: Context) -> SolveResponse:  # noqa: N802
        """A build, from its request to the export of its result."""
        try:
            with failures():
                refuse(request.definition)
                with self._solves.begin(self._caller, request) as solve:
                    return SolveResponse(exporter_response=await self._response(solve))
        except CallFailed as error:
            await abort(context, error.status)

    async def _response(self, solve: RunningSolve) -> dict[str, str]:
        request = solve.request
        if request.frontend:
            return exporter_response(
                await self._builder.build(solve, request.frontend, request.frontend_attrs, request.frontend_inputs)
            )
        returned = await solve.returned
        if returned.HasField("error"):
            raise CallFailed(returned.error)
        return solve.responses.get(returned.result.ref.id, {})

    async def Status(self, request: StatusRequest, context: Context) -> AsyncGenerator[StatusResponse]:  # noqa: N802
        """The progress of a solve; also of one that was over before this call was here."""
        try:
            with failures():
                feed = await self._solves.progress(self._caller, request.ref)
        except CallFailed as error:
            await abort(context, error.status)
        async for response in feed.follow():
            yield response

    async def DiskUsage(self, request: DiskUsageRequest, context: Context) -> DiskUsageResponse:  # noqa: N802
        """The cache of builds on all nodes."""
        try:
            with failures():
                asked = ListBuildCacheRequest(filters=read_filters(request.filter))
                answer = await self._managers.call(self._managers.builds.ListBuildCache, asked, seconds=SIZE_SECONDS)
        except CallFailed as error:
            await abort(context, error.status)
        return DiskUsageResponse(record=map(usage_record, answer.rows))

    async def Prune(self, request: PruneRequest, context: Context) -> AsyncGenerator[UsageRecord]:  # noqa: N802
        """Delete what builds have left: one record for each, the first one with the bytes of all."""
        try:
            with failures():
                asked = prune_request(request, time.time_ns() // 1_000_000)
                answer = await self._managers.call(self._managers.builds.PruneBuildCache, asked, seconds=PRUNE_SECONDS)
        except CallFailed as error:
            await abort(context, error.status)
        size = answer.reclaimed_bytes
        for identifier in answer.ids:
            yield UsageRecord(id=identifier, size=size)
            size = 0
