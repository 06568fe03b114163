"""The servicer of `AgentStreams`, for managers: logs of this node's tasks, programs in them, how it reaches others."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Protocol

from grpc import aio

from agent.runtime.cgroups import Stats
from agent.runtime.log_lines import LogRecord as Line
from agent.streams.exec import Programs, serve, serve_attached
from agent.streams.merging import as_they_come, in_order
from shoal.api.v1.streams_pb2 import (
    CallDriverRequest,
    CallDriverResponse,
    ExecInput,
    ExecOutput,
    LogRecord,
    ProbeRequest,
    ProbeResponse,
    ReadLogsRequest,
    ReadUsageRequest,
    ReadUsageResponse,
    TaskUsage,
)
from shoal.api.v1.streams_pb2_grpc import AgentStreamsServicer
from shoal.errors import InvalidInput, NotFound

MAX_TASKS = 10_000


class LogFiles(Protocol):
    """`agent.runtime.runtime.OciRuntime` is one."""

    def logs(
        self, task_id: str, *, follow: bool = False, tail: int | None = None, since_ns: int = 0
    ) -> AsyncIterator[Line]:
        """Raises NotFound when the host has no log of the task."""
        ...


class Prober(Protocol):
    """`agent.network.probing.Probing` is one."""

    async def probe(self, request: ProbeRequest) -> ProbeResponse:
        """Raises InvalidInput when it is too much, or no addresses."""
        ...


class Meters(Protocol):
    """`agent.runtime.runtime.OciRuntime` is one."""

    async def stats(self, task_ids: Iterable[str]) -> Mapping[str, Stats]:
        """What these containers use now; those that have none are left out."""
        ...


class Controller(Protocol):
    """`agent.csi.controller.Controller` is one."""

    async def call(self, request: CallDriverRequest) -> CallDriverResponse:
        """Raises Unavailable when this node has no such driver, InvalidInput when it is no call."""
        ...


class AgentStreams(AgentStreamsServicer):
    """Reads what is on disk, and what the kernel counts; hands on what is for drivers of volumes and for containers.

    Args:
        now_ns: a clock that only goes forward, for rates (`time.monotonic_ns`).
    """

    def __init__(
        self,
        *,
        logs: LogFiles,
        prober: Prober,
        meters: Meters,
        controller: Controller,
        programs: Programs,
        now_ns: Callable[[], int],
    ) -> None:
        self._logs = logs
        self._prober = prober
        self._meters = meters
        self._controller = controller
        self._programs = programs
        self._now_ns = now_ns

    async def ReadUsage(  # noqa: N802  # named by the protocol
        self, request: ReadUsageRequest, context: aio.ServicerContext[ReadUsageRequest, ReadUsageResponse]
    ) -> ReadUsageResponse:
        """Raises InvalidInput when too many tasks are asked for."""
        del context
        if len(request.task_ids) > MAX_TASKS:
            raise InvalidInput(f"task_ids: {len(request.task_ids)} tasks; at most {MAX_TASKS} can be read at once")
        at_ns = self._now_ns()
        found = await self._meters.stats(dict.fromkeys(request.task_ids))
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
            InvalidInput: see `Prober`.
        """
        del context
        return await self._prober.probe(request)

    async def CallDriver(  # noqa: N802  # named by the protocol
        self, request: CallDriverRequest, context: aio.ServicerContext[CallDriverRequest, CallDriverResponse]
    ) -> CallDriverResponse:
        """One call of a driver's controller service.

        Raises:
            Unavailable, InvalidInput: see `Controller`.
        """
        del context
        return await self._controller.call(request)

    async def Exec(  # noqa: N802  # named by the protocol
        self, request_iterator: AsyncIterator[ExecInput], context: aio.ServicerContext[ExecInput, ExecOutput]
    ) -> AsyncGenerator[ExecOutput]:
        """A user's program in a container.

        Raises:
            InvalidInput, NotFound, Exhausted, Unavailable: see `agent.streams.exec.serve`.
        """
        del context
        async with aclosing(serve(self._programs, request_iterator)) as outputs:
            async for output in outputs:
                yield output

    async def Attach(  # noqa: N802  # named by the protocol
        self, request_iterator: AsyncIterator[ExecInput], context: aio.ServicerContext[ExecInput, ExecOutput]
    ) -> AsyncGenerator[ExecOutput]:
        """A container's own program.

        Raises:
            InvalidInput, NotFound, Exhausted: see `agent.streams.exec.serve_attached`.
        """
        del context
        async with aclosing(serve_attached(self._programs, request_iterator)) as outputs:
            async for output in outputs:
                yield output

    async def ReadLogs(  # noqa: N802  # named by the protocol
        self, request: ReadLogsRequest, context: aio.ServicerContext[ReadLogsRequest, LogRecord]
    ) -> AsyncGenerator[LogRecord]:
        """In the order of time, or as they come when it follows. Tasks that have no log here are passed over.

        Raises:
            NotFound: none of the tasks has one.
        """
        del context
        task_ids = list(dict.fromkeys(request.task_ids))
        if not 0 < len(task_ids) <= MAX_TASKS:
            raise InvalidInput(f"task_ids: {len(task_ids)} tasks; 1 to {MAX_TASKS} can be read at once")
        async with AsyncExitStack() as stack:
            readers = [_Reader(self._read(task_id, request)) for task_id in task_ids]
            for reader in readers:
                await stack.enter_async_context(aclosing(reader.records))
            merged = as_they_come(readers) if request.follow else in_order(readers, lambda record: record.at_ns)
            async for record in await stack.enter_async_context(aclosing(merged)):
                yield record
        if all(reader.missing for reader in readers):
            raise NotFound(f"this node has no log of task {task_ids[0]}" + (" or the others" if task_ids[1:] else ""))

    async def _read(self, task_id: str, request: ReadLogsRequest) -> AsyncGenerator[LogRecord]:
        tail = request.tail if request.HasField("tail") else None
        # Our bound excludes its own instant, the reader's includes it.
        since_ns = request.since_ns + 1 if request.since_ns else 0
        async for line in self._logs.logs(task_id, follow=request.follow, tail=tail, since_ns=since_ns):
            yield LogRecord(
                task_id=task_id,
                at_ns=line.time_ns,
                stream=LogRecord.STDOUT if line.stream == "stdout" else LogRecord.STDERR,
                data=line.data,
                partial=line.partial,
            )


class _Reader:
    """One task's records; knows whether there was a log at all."""

    def __init__(self, records: AsyncGenerator[LogRecord]) -> None:
        self.records = records
        self.missing = False

    def __aiter__(self) -> "_Reader":
        return self

    async def __anext__(self) -> LogRecord:
        try:
            return await anext(self.records)
        except NotFound:
            self.missing = True
            raise StopAsyncIteration from None
