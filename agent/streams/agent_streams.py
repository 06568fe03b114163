"""gRPC servicer of `AgentStreams`: logs, exec, attach, usage, probes and volume transfer for managers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from typing import cast

from grpc import aio

from agent.runtime.logs.container_logs import CHUNK_BYTES
from agent.streams.exec_relay import ExecRuntime, serve_attach, serve_exec
from agent.streams.leader_terms import LeaderTerms
from agent.streams.stream_merge import interleave
from agent.streams.stream_sources import (
    DriverController,
    HostChecks,
    LogSource,
    PathProber,
    StatsSource,
    VolumeReceiver,
    VolumeSender,
    VolumeSizeReader,
)
from shoal.api.v1.diagnosis_pb2 import DiagnoseHostRequest, DiagnoseHostResponse
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
    ObserveTermRequest,
    ObserveTermResponse,
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
from shoal.logs.encoded_batch import Batch, encode_run
from shoal.logs.ordered_logs import in_time_order

MAX_TASKS = 10_000
MAX_LOG_READERS = 300
"""Concurrent calls."""
MANY_LOG_READERS = 32
"""Each buffers a few chunks, even if its user does not read: with so many calls, those that come have small ones."""

MAX_USAGE_READERS = 2
"""Concurrent calls; others wait. Each takes a thread while it reads some files per container."""

_READ_AHEAD_BYTES = 512 << 10
_MIN_CHUNK = 16 << 10


class AgentStreamsService(AgentStreamsServicer):
    """Serves managers; delegates each call to the part of the agent that handles it.

    Args:
        now_ns: a monotonic clock, for rates (`time.monotonic_ns`).
    """

    def __init__(
        self,
        *,
        logs: LogSource,
        prober: PathProber,
        diagnosis: HostChecks,
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
        self._diagnosis = diagnosis
        self._stats = stats
        self._controller = controller
        self._sizes = sizes
        self._exec_runtime = exec_runtime
        self._source = source
        self._target = target
        self._now_ns = now_ns
        self._terms = LeaderTerms()
        self._log_readers = 0
        self._usage_slots = asyncio.Semaphore(MAX_USAGE_READERS)

    async def ReadVolumeSizes(  # noqa: N802  # named by the protocol
        self,
        request: ReadVolumeSizesRequest,
        context: aio.ServicerContext[ReadVolumeSizesRequest, ReadVolumeSizesResponse],
    ) -> ReadVolumeSizesResponse:
        """Raises InvalidInput if too many volumes are requested."""
        del context
        return await self._sizes.read(request)

    async def ReadUsage(  # noqa: N802  # named by the protocol
        self, request: ReadUsageRequest, context: aio.ServicerContext[ReadUsageRequest, ReadUsageResponse]
    ) -> ReadUsageResponse:
        """Raises InvalidInput if too many tasks are requested."""
        del context
        if len(request.task_ids) > MAX_TASKS:
            raise InvalidInput(f"task_ids: too many ({len(request.task_ids)}); the maximum is {MAX_TASKS}")
        async with self._usage_slots:
            at_ns = self._now_ns()
            found = await self._stats.stats(dict.fromkeys(request.task_ids))
            counters = await self._stats.counters(found) if request.counters else {}
        return ReadUsageResponse(
            tasks=[
                TaskUsage(
                    task_id=task_id,
                    at_ns=at_ns,
                    cpu_ns=used.cpu_ns,
                    memory_bytes=used.memory_bytes,
                    pids=used.pids,
                    counters=counters.get(task_id),
                )
                for task_id, used in found.items()
            ]
        )

    async def DiagnoseHost(  # noqa: N802  # named by the protocol
        self, request: DiagnoseHostRequest, context: aio.ServicerContext[DiagnoseHostRequest, DiagnoseHostResponse]
    ) -> DiagnoseHostResponse:
        """Raises InvalidInput: too many targets. Busy: another diagnosis is running."""
        del context
        return await self._diagnosis.diagnose(request)

    async def Probe(  # noqa: N802  # named by the protocol
        self, request: ProbeRequest, context: aio.ServicerContext[ProbeRequest, ProbeResponse]
    ) -> ProbeResponse:
        """Measure paths to other nodes now.

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
            Unavailable, InvalidInput: see `DriverController`. Refused: it is of a leader whose term is over.
        """
        del context
        self._terms.check(request.term)
        return await self._controller.call(request)

    async def ObserveTerm(  # noqa: N802  # named by the protocol
        self, request: ObserveTermRequest, context: aio.ServicerContext[ObserveTermRequest, ObserveTermResponse]
    ) -> ObserveTermResponse:
        """Raises Refused: a newer term has begun."""
        del context
        self._terms.check(request.term)
        return ObserveTermResponse()

    async def OfferVolume(  # noqa: N802  # named by the protocol
        self, request: OfferVolumeRequest, context: aio.ServicerContext[OfferVolumeRequest, OfferVolumeResponse]
    ) -> OfferVolumeResponse:
        """Allow another node to read a volume. Raises NotFound, Unavailable, Refused: see `VolumeSender`."""
        del context
        self._terms.check(request.term)
        return await self._source.offer(request)

    async def FetchVolume(  # noqa: N802  # named by the protocol
        self, request: FetchVolumeRequest, context: aio.ServicerContext[FetchVolumeRequest, FetchVolumeProgress]
    ) -> AsyncGenerator[FetchVolumeProgress]:
        """Copy a volume from another node. Raises Exhausted, Refused, InvalidInput, Unavailable: see
        `VolumeReceiver`."""
        del context
        self._terms.check(request.term)
        async with aclosing(self._target.fetch(request)) as progress:
            async for each in progress:
                yield each

    async def DropVolumeCopy(  # noqa: N802  # named by the protocol
        self,
        request: DropVolumeCopyRequest,
        context: aio.ServicerContext[DropVolumeCopyRequest, DropVolumeCopyResponse],
    ) -> DropVolumeCopyResponse:
        """Delete one copy of a volume. Raises Unavailable: a container uses it."""
        del context
        self._terms.check(request.term)
        await self._target.delete_copy(request)
        return DropVolumeCopyResponse()

    async def Exec(  # noqa: N802  # named by the protocol
        self, request_iterator: AsyncIterator[ExecInput], context: aio.ServicerContext[ExecInput, ExecOutput]
    ) -> AsyncGenerator[ExecOutput]:
        """Run a user's program in a container.

        Raises:
            InvalidInput, NotFound, Exhausted, Unavailable: see `agent.streams.exec_relay.serve_exec`.
        """
        del context
        async with aclosing(serve_exec(self._exec_runtime, request_iterator)) as outputs:
            async for output in outputs:
                yield output

    async def Attach(  # noqa: N802  # named by the protocol
        self, request_iterator: AsyncIterator[ExecInput], context: aio.ServicerContext[ExecInput, ExecOutput]
    ) -> AsyncGenerator[ExecOutput]:
        """Attach to a container's main process.

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
        """Log lines in order of time, or as they arrive when following. Tasks without a log on this node are skipped.

        Raises:
            NotFound: none of the tasks has a log. Exhausted: too many readers.
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
                    yield cast(LogBatch, batch)  # or what stands for one
        finally:
            self._log_readers -= 1

    async def _read_all(self, task_ids: list[str], request: ReadLogsRequest) -> AsyncGenerator[Batch]:
        batch_bytes = min(request.batch_bytes or CHUNK_BYTES, CHUNK_BYTES)
        if self._log_readers > MANY_LOG_READERS:
            batch_bytes = min(batch_bytes, _MIN_CHUNK)
        chunk_bytes = max(_MIN_CHUNK, min(batch_bytes, _READ_AHEAD_BYTES // len(task_ids)))
        async with AsyncExitStack() as stack:
            readers = [_TaskLogReader(self._read(task_id, request, chunk_bytes)) for task_id in task_ids]
            for reader in readers:
                await stack.enter_async_context(aclosing(reader.batches))
            merged = interleave(readers) if request.follow else in_time_order(readers, batch_bytes=batch_bytes)
            async for batch in await stack.enter_async_context(aclosing(merged)):
                yield batch
        if all(reader.missing for reader in readers):
            raise NotFound(
                f"no log of task {task_ids[0]}" + (" or the others" if task_ids[1:] else "") + " on this node"
            )

    async def _read(self, task_id: str, request: ReadLogsRequest, chunk_bytes: int) -> AsyncGenerator[Batch]:
        tail = request.tail if request.HasField("tail") else None
        # The request's bound is exclusive, the reader's is inclusive.
        since_ns = request.since_ns + 1 if request.since_ns else 0
        found = self._logs.logs(
            task_id,
            follow=request.follow,
            tail=tail,
            since_ns=since_ns,
            until_ns=request.until_ns,
            chunk_bytes=chunk_bytes,
            announce=request.announce,
        )
        async with aclosing(found) as parts:
            async for part in parts:
                yield encode_run(task_id, part.data, lost=part.lost)


class _TaskLogReader:
    """Log lines of one task; knows whether there is a log."""

    def __init__(self, batches: AsyncGenerator[Batch]) -> None:
        self.batches = batches
        self.missing = False

    def __aiter__(self) -> "_TaskLogReader":
        return self

    async def __anext__(self) -> Batch:
        try:
            return await anext(self.batches)
        except NotFound:
            self.missing = True
            raise StopAsyncIteration from None
