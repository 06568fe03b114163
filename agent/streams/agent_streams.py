"""The servicer of `AgentStreamsService`, for managers: logs of this node's tasks, programs in them, how it reaches
others."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Protocol

from grpc import aio

from agent.runtime.kernel.cgroups import ContainerStats
from agent.runtime.logs.container_logs import CHUNK_BYTES
from agent.runtime.logs.log_cursor import LogLines
from agent.streams.exec_relay import ExecRuntime, serve_attach, serve_exec
from agent.streams.stream_merge import interleave
from shoal.api.v1.streams_pb2 import (
    CallDriverRequest,
    CallDriverResponse,
    DropVolumeCopyRequest,
    DropVolumeCopyResponse,
    ExecInput,
    ExecOutput,
    FetchVolumeProgress,
    FetchVolumeRequest,
    LogBatch,
    LogChunk,
    OfferVolumeRequest,
    OfferVolumeResponse,
    ProbeRequest,
    ProbeResponse,
    ReadLogsRequest,
    ReadUsageRequest,
    ReadUsageResponse,
    ReadVolumeSizesRequest,
    ReadVolumeSizesResponse,
    TaskUsage,
)
from shoal.api.v1.streams_pb2_grpc import AgentStreamsServicer
from shoal.errors import Exhausted, InvalidInput, NotFound
from shoal.logs.ordered_logs import in_time_order

MAX_TASKS = 10_000
MAX_LOG_READERS = 64
"""Calls at a time: each holds a few times `_READ_AHEAD_BYTES`, also where its user does not read."""

MAX_USAGE_READERS = 2
"""At a time; the others wait. Each holds a thread while it reads some files for each container."""

_READ_AHEAD_BYTES = 512 << 10
_MIN_CHUNK = 16 << 10


class LogSource(Protocol):
    """`agent.runtime.oci_runtime.OciRuntime` is one."""

    def logs(
        self, task_id: str, *, follow: bool, tail: int | None, since_ns: int, chunk_bytes: int
    ) -> AsyncGenerator[LogLines]:
        """Raises NotFound when the host has no log of the task."""
        ...


class PathProber(Protocol):
    """`agent.network.probing.network_prober.NetworkProber` is one."""

    async def probe(self, request: ProbeRequest) -> ProbeResponse:
        """Raises InvalidInput when it is too much, or no addresses."""
        ...


class StatsSource(Protocol):
    """`agent.runtime.oci_runtime.OciRuntime` is one."""

    async def stats(self, task_ids: Iterable[str]) -> Mapping[str, ContainerStats]:
        """What these containers use now; those that have none are left out."""
        ...


class DriverController(Protocol):
    """`agent.csi.controller_service.DriverController` is one."""

    async def call(self, request: CallDriverRequest) -> CallDriverResponse:
        """Raises Unavailable when this node has no such driver, InvalidInput when it is no call."""
        ...


class VolumeSizeReader(Protocol):
    """`agent.volumes.local_volume_sizes.LocalVolumeSizes` is one."""

    async def read(self, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        """Raises InvalidInput when it is too much."""
        ...


class VolumeSender(Protocol):
    """`agent.volume_moves.move_source.VolumeSender` is one."""

    async def offer(self, request: OfferVolumeRequest) -> OfferVolumeResponse:
        """Raises NotFound, Unavailable, Refused."""
        ...


class VolumeReceiver(Protocol):
    """`agent.volume_moves.move_target.VolumeReceiver` is one."""

    def fetch(self, request: FetchVolumeRequest) -> AsyncGenerator[FetchVolumeProgress]:
        """Raises Exhausted, Refused, InvalidInput, Unavailable."""
        ...

    async def delete_copy(self, request: DropVolumeCopyRequest) -> None:
        """Raises Unavailable."""
        ...


class AgentStreamsService(AgentStreamsServicer):
    """Reads what is on disk, and what the kernel counts; hands on what is for drivers of volumes and for containers.

    Args:
        now_ns: a clock that only goes forward, for rates (`time.monotonic_ns`).
    """

    def __init__(
        self,
        *,
        logs: LogSource,
        prober: PathProber,
        stats: StatsSource,
        controller: DriverController,
        sizes: VolumeSizeReader,
        exec_runtime: ExecRuntime,
        source: VolumeSender,
        target: VolumeReceiver,
        now_ns: Callable[[], int],
    ) -> None:
        self._logs = logs
        self._prober = prober
        self._stats = stats
        self._controller = controller
        self._sizes = sizes
        self._exec_runtime = exec_runtime
        self._source = source
        self._target = target
        self._now_ns = now_ns
        self._log_readers = 0
        self._usage_slots = asyncio.Semaphore(MAX_USAGE_READERS)

    async def ReadVolumeSizes(  # noqa: N802  # named by the protocol
        self,
        request: ReadVolumeSizesRequest,
        context: aio.ServicerContext[ReadVolumeSizesRequest, ReadVolumeSizesResponse],
    ) -> ReadVolumeSizesResponse:
        """Raises InvalidInput when too many volumes are asked for."""
        del context
        return await self._sizes.read(request)

    async def ReadUsage(  # noqa: N802  # named by the protocol
        self, request: ReadUsageRequest, context: aio.ServicerContext[ReadUsageRequest, ReadUsageResponse]
    ) -> ReadUsageResponse:
        """Raises InvalidInput when too many tasks are asked for."""
        del context
        if len(request.task_ids) > MAX_TASKS:
            raise InvalidInput(f"task_ids: too many ({len(request.task_ids)}); the maximum is {MAX_TASKS}")
        async with self._usage_slots:
            at_ns = self._now_ns()
            found = await self._stats.stats(dict.fromkeys(request.task_ids))
        return ReadUsageResponse(
            tasks=[
                TaskUsage(
                    task_id=task_id, at_ns=at_ns, cpu_ns=used.cpu_ns, memory_bytes=used.memory_bytes, pids=used.pids
                )
                for task_id, used in found.items()
            ]
        )

    async def Probe(  # noqa: N802  # named by the protocol
        self, request: ProbeRequest, context: aio.ServicerContext[ProbeRequest, ProbeResponse]
    ) -> ProbeResponse:
        """Measures now.

        Raises:
            InvalidInput: see `PathProber`.
        """
        del context
        return await self._prober.probe(request)

    async def CallDriver(  # noqa: N802  # named by the protocol
        self, request: CallDriverRequest, context: aio.ServicerContext[CallDriverRequest, CallDriverResponse]
    ) -> CallDriverResponse:
        """One call of a driver's controller service.

        Raises:
            Unavailable, InvalidInput: see `DriverController`.
        """
        del context
        return await self._controller.call(request)

    async def OfferVolume(  # noqa: N802  # named by the protocol
        self, request: OfferVolumeRequest, context: aio.ServicerContext[OfferVolumeRequest, OfferVolumeResponse]
    ) -> OfferVolumeResponse:
        """Let another node read a volume. Raises NotFound, Unavailable, Refused: see `VolumeSender`."""
        del context
        return await self._source.offer(request)

    async def FetchVolume(  # noqa: N802  # named by the protocol
        self, request: FetchVolumeRequest, context: aio.ServicerContext[FetchVolumeRequest, FetchVolumeProgress]
    ) -> AsyncGenerator[FetchVolumeProgress]:
        """Copy a volume from another node. Raises Exhausted, Refused, InvalidInput, Unavailable: see
        `VolumeReceiver`."""
        del context
        async with aclosing(self._target.fetch(request)) as progress:
            async for each in progress:
                yield each

    async def DropVolumeCopy(  # noqa: N802  # named by the protocol
        self,
        request: DropVolumeCopyRequest,
        context: aio.ServicerContext[DropVolumeCopyRequest, DropVolumeCopyResponse],
    ) -> DropVolumeCopyResponse:
        """Delete one copy of a volume. Raises Unavailable: a container has it."""
        del context
        await self._target.delete_copy(request)
        return DropVolumeCopyResponse()

    async def Exec(  # noqa: N802  # named by the protocol
        self, request_iterator: AsyncIterator[ExecInput], context: aio.ServicerContext[ExecInput, ExecOutput]
    ) -> AsyncGenerator[ExecOutput]:
        """A user's program in a container.

        Raises:
            InvalidInput, NotFound, Exhausted, Unavailable: see `agent.streams.exec_relay.serve`.
        """
        del context
        async with aclosing(serve_exec(self._exec_runtime, request_iterator)) as outputs:
            async for output in outputs:
                yield output

    async def Attach(  # noqa: N802  # named by the protocol
        self, request_iterator: AsyncIterator[ExecInput], context: aio.ServicerContext[ExecInput, ExecOutput]
    ) -> AsyncGenerator[ExecOutput]:
        """A container's own program.

        Raises:
            InvalidInput, NotFound, Exhausted: see `agent.streams.exec_relay.serve_attach`.
        """
        del context
        async with aclosing(serve_attach(self._exec_runtime, request_iterator)) as outputs:
            async for output in outputs:
                yield output

    async def ReadLogs(  # noqa: N802  # named by the protocol
        self, request: ReadLogsRequest, context: aio.ServicerContext[ReadLogsRequest, LogBatch]
    ) -> AsyncGenerator[LogBatch]:
        """In the order of time, or as they come when it follows. Tasks that have no log here are passed over.

        Raises:
            NotFound: none of the tasks has one. Exhausted: too many read at once.
        """
        del context
        task_ids = list(dict.fromkeys(request.task_ids))
        if not 0 < len(task_ids) <= MAX_TASKS:
            raise InvalidInput(f"task_ids: {len(task_ids)} tasks; must be from 1 to {MAX_TASKS}")
        if self._log_readers >= MAX_LOG_READERS:
            raise Exhausted(f"too many log readers on this node ({self._log_readers}); try again later")
        self._log_readers += 1
        try:
            async with aclosing(self._read_all(task_ids, request)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            self._log_readers -= 1

    async def _read_all(self, task_ids: list[str], request: ReadLogsRequest) -> AsyncGenerator[LogBatch]:
        batch_bytes = min(request.batch_bytes or CHUNK_BYTES, CHUNK_BYTES)
        chunk_bytes = max(_MIN_CHUNK, min(batch_bytes, _READ_AHEAD_BYTES // len(task_ids)))
        async with AsyncExitStack() as stack:
            readers = [_TaskLogReader(self._read(task_id, request, chunk_bytes)) for task_id in task_ids]
            for reader in readers:
                await stack.enter_async_context(aclosing(reader.batches))
            merged = interleave(readers) if request.follow else in_time_order(readers, batch_bytes=batch_bytes)
            async for batch in await stack.enter_async_context(aclosing(merged)):
                yield batch
        if all(reader.missing for reader in readers):
            raise NotFound(f"this node has no log of task {task_ids[0]}" + (" or the others" if task_ids[1:] else ""))

    async def _read(self, task_id: str, request: ReadLogsRequest, chunk_bytes: int) -> AsyncGenerator[LogBatch]:
        tail = request.tail if request.HasField("tail") else None
        # Our bound excludes its own instant, the reader's includes it.
        since_ns = request.since_ns + 1 if request.since_ns else 0
        found = self._logs.logs(task_id, follow=request.follow, tail=tail, since_ns=since_ns, chunk_bytes=chunk_bytes)
        async with aclosing(found) as pieces:
            async for piece in pieces:
                yield LogBatch(chunks=[LogChunk(task_id=task_id, lines=piece.data, lines_lost=piece.lost)])


class _TaskLogReader:
    """One task's lines; knows whether there was a log at all."""

    def __init__(self, batches: AsyncGenerator[LogBatch]) -> None:
        self.batches = batches
        self.missing = False

    def __aiter__(self) -> "_TaskLogReader":
        return self

    async def __anext__(self) -> LogBatch:
        try:
            return await anext(self.batches)
        except NotFound:
            self.missing = True
            raise StopAsyncIteration from None
