"""Logs of several tasks as one stream."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from typing import Any

import pytest

from agent.runtime.kernel.cgroups import ContainerStats
from agent.runtime.logs.log_cursor import LogLines
from agent.streams.agent_streams import AgentStreamsService
from agent.streams.exec_relay import Process, Program
from agent.streams.stream_merge import interleave
from shoal.api.v1.streams_pb2 import (
    CallDriverRequest,
    CallDriverResponse,
    ExecStart,
    ProbeRequest,
    ProbeResponse,
    ReadLogsRequest,
    ReadVolumeSizesRequest,
    ReadVolumeSizesResponse,
    UsageCounters,
)
from shoal.errors import InvalidInput, NotFound
from shoal.logs.log_lines import parse_line, timestamp_bytes


async def numbers(*values: int) -> AsyncGenerator[int]:
    for value in values:
        await asyncio.sleep(0)
        yield value


async def failing() -> AsyncGenerator[int]:
    yield 1
    raise NotFound("gone")


class Files:
    """Logs of two tasks."""

    async def logs(
        self,
        task_id: str,
        *,
        follow: bool,
        tail: int | None,
        since_ns: int,
        until_ns: int,
        chunk_bytes: int,
        announce: bool,
    ) -> AsyncGenerator[LogLines]:
        times = {"a": (1, 4), "b": (2, 3)}.get(task_id)
        if times is None:
            raise NotFound(f"no log of task {task_id} on this host")
        for time_ns in times[-tail:] if tail else times:
            if time_ns >= since_ns:
                yield LogLines(timestamp_bytes(time_ns) + b" stdout F line\n")


class NoProber:
    async def probe(self, request: ProbeRequest) -> ProbeResponse:
        raise AssertionError(request)


class NoMeters:
    async def counters(self, task_ids: Iterable[str]) -> Mapping[str, UsageCounters]:
        return {}

    async def stats(self, task_ids: Iterable[str]) -> Mapping[str, ContainerStats]:
        raise AssertionError(task_ids)


class NoSizes:
    async def read(self, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        raise AssertionError(request)


class NoController:
    async def call(self, request: CallDriverRequest) -> CallDriverResponse:
        raise AssertionError(request)


class NoPrograms:
    async def start_exec(self, request: ExecStart) -> Program:
        raise AssertionError(request)

    def attach(self, task_id: str) -> Process:
        raise AssertionError(task_id)

    def attach_at_start(self, container_id: str) -> Process:
        raise AssertionError(container_id)


async def read(request: ReadLogsRequest) -> list[int]:
    context: object = None
    nothing: Any = None
    streams = AgentStreamsService(
        logs=Files(),
        prober=NoProber(),
        diagnosis=nothing,
        stats=NoMeters(),
        controller=NoController(),
        sizes=NoSizes(),
        exec_runtime=NoPrograms(),
        source=nothing,
        target=nothing,
        now_ns=lambda: 0,
    )
    batches = [batch async for batch in streams.ReadLogs(request, context)]  # type: ignore[arg-type]
    lines = b"".join(run.lines for batch in batches for run in batch.chunks).splitlines()
    return [line.time_ns for line in map(parse_line, lines) if line]


def test_as_they_come_ends_with_its_sources_and_raises_their_errors() -> None:
    async def collect(*sources: AsyncIterator[int]) -> list[int]:
        return sorted([number async for number in interleave(sources)])

    assert asyncio.run(collect(numbers(1, 2), numbers(3))) == [1, 2, 3]
    assert asyncio.run(collect()) == []
    with pytest.raises(NotFound):
        asyncio.run(collect(failing(), numbers(2)))


@pytest.mark.parametrize("follow", [False, True])
def test_logs_of_several_tasks(follow: bool) -> None:
    times = asyncio.run(read(ReadLogsRequest(task_ids=["a", "b", "unknown"], follow=follow)))
    assert (sorted(times) if follow else times) == [1, 2, 3, 4]


def test_tail_and_since() -> None:
    assert asyncio.run(read(ReadLogsRequest(task_ids=["a", "b"], tail=1))) == [3, 4]
    assert asyncio.run(read(ReadLogsRequest(task_ids=["a", "b"], since_ns=3))) == [4]


def test_no_log_at_all_and_no_task_at_all() -> None:
    with pytest.raises(NotFound, match="no log of task x"):
        asyncio.run(read(ReadLogsRequest(task_ids=["x"])))
    with pytest.raises(InvalidInput):
        asyncio.run(read(ReadLogsRequest()))


def test_a_reader_that_leaves_leaves_no_task() -> None:
    async def silent() -> AsyncGenerator[int]:
        await asyncio.Event().wait()
        yield 0

    async def leave() -> None:
        reading = asyncio.ensure_future(anext(interleave([silent()])))
        await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(leave())
