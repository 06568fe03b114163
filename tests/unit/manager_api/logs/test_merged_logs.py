"""Logs of several tasks by time: any mixture comes out in order, with every line and every word on losses."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from shoal.api.v1.streams_pb2 import LogBatch, LogChunk
from shoal.logs.encoded_batch import Batch, lines_of
from shoal.logs.log_lines import parse_line, timestamp_bytes
from shoal.logs.ordered_logs import BATCH_BYTES, in_time_order


def run(task: int, times: Sequence[int], *, lost: bool = False, text: str = "x") -> LogChunk:
    lines = b"".join(timestamp_bytes(at_ns) + f" stdout F {task} {text}\n".encode() for at_ns in times)
    return LogChunk(task_id=str(task), lines=lines, lines_lost=lost)


async def source(batches: Sequence[LogBatch]) -> AsyncGenerator[LogBatch]:
    for batch in batches:
        await asyncio.sleep(0)
        copied = LogBatch()
        copied.CopyFrom(batch)
        yield copied


def merge(*sources: Sequence[LogBatch]) -> list[Batch]:
    async def collect() -> list[Batch]:
        return [batch async for batch in in_time_order([source(batches) for batches in sources])]

    return asyncio.run(collect())


def rows(batches: Sequence[Batch]) -> list[tuple[str, int]]:
    found = [
        (each.task_id, parse_line(row)) for batch in batches for each in batch.chunks for row in each.lines.splitlines()
    ]
    return [(task_id, line.time_ns) for task_id, line in found if line]


TIMES = st.lists(st.lists(st.lists(st.integers(0, 20), max_size=4), max_size=4), max_size=4)


@given(TIMES, st.integers(0, 3))
def test_any_mixture_is_in_order_and_whole(drawn: list[list[list[int]]], losses: int) -> None:
    sources = []
    for task, chunks in enumerate(drawn):
        times = sorted(at_ns for chunk in chunks for at_ns in chunk)
        batches = []
        for place, chunk in enumerate(chunks):
            mine, times = times[: len(chunk)], times[len(chunk) :]
            batches.append(LogBatch(chunks=[run(task, mine, lost=place < losses)]))
        sources.append(batches)
    found = merge(*sources)
    times_found = [at_ns for _, at_ns in rows(found)]
    assert len(sources) == 1 or times_found == sorted(times_found)
    for task, batches in enumerate(sources):
        assert [each for each in rows(found) if each[0] == str(task)] == rows(batches)
        reported = [
            each.lines_lost for batch in found for each in batch.chunks if each.task_id == str(task) and each.lines_lost
        ]
        assert len(reported) == sum(each.lines_lost for batch in batches for each in batch.chunks)


def test_runs_stay_together_and_batches_have_a_bound() -> None:
    early, late = run(1, range(1000), text="y" * 1000), run(2, range(1000, 2000), text="y" * 1000)
    found = merge([LogBatch(chunks=[late])], [LogBatch(chunks=[early])])
    assert [each.task_id for batch in found for each in batch.chunks] == ["1", "2"]
    between = merge([LogBatch(chunks=[early])], [LogBatch(chunks=[run(3, range(1000))])])
    assert all(sum(map(len, lines_of(batch))) < BATCH_BYTES + len(early.lines) // 900 for batch in between)


def test_what_is_no_line_passes_without_harm() -> None:
    torn = LogBatch(chunks=[LogChunk(task_id="1", lines=b"\0\0\0\n\nx\n")])
    found = merge([torn], [LogBatch(chunks=[run(2, [1, 2])])])
    assert b"".join(each.lines for batch in found for each in batch.chunks).count(b"\n") == 5
