"""Merge the logs of several tasks by time, in runs of lines where possible."""

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from shoal.api.v1.streams_pb2 import LogBatch, LogChunk
from shoal.logs.encoded_batch import Batch
from shoal.logs.log_lines import STAMP_BYTES, end_of_line, last_timestamp

BATCH_BYTES = 256 << 10
_RUN_BYTES = 64
"""What a run costs beside its lines."""


class _Cursor:
    """What is next of one source: a place in a run of lines."""

    def __init__(self, source: AsyncIterator[Batch]) -> None:
        self._source = source
        self._runs: list[LogChunk] = []
        self._run = LogChunk()
        self._lines = b""
        self._at = 0

    async def advance(self) -> bool:
        """On to the first line that has not been taken; False at the end."""
        while self._at >= len(self._lines) and not self._run.lines_lost:
            while not self._runs:
                batch = await anext(self._source, None)
                if batch is None:
                    return False
                self._runs = list(reversed(batch.chunks))
            self._run = self._runs.pop()
            self._lines, self._at = self._run.lines, 0
        return True

    def timestamp(self) -> bytes:
        """Of the next line; the least there is where only a loss is reported."""
        return self._lines[self._at : self._at + STAMP_BYTES]

    def next_run(self, bound: bytes | None) -> LogChunk:
        """The next line with all those after it that are not later than `bound`."""
        if bound is None or last_timestamp(self._lines) <= bound:
            end = len(self._lines)
        else:
            end = end_of_line(self._lines, self._at)
            while end < len(self._lines) and self._lines[end : end + STAMP_BYTES] <= bound:
                end = end_of_line(self._lines, end)
        taken = LogChunk(task_id=self._run.task_id, lines=self._lines[self._at : end], lines_lost=self._run.lines_lost)
        self._at, self._run.lines_lost = end, False
        return taken


async def in_time_order(
    sources: Sequence[AsyncIterator[Batch]], *, batch_bytes: int = BATCH_BYTES
) -> AsyncGenerator[Batch]:
    """All lines, the oldest first, if each source has its own in order. Holds one batch of each.

    Args:
        batch_bytes: what about comes at once, if there is more than one source.
    """
    if len(sources) == 1:
        async for batch in sources[0]:
            yield batch
        return
    heads = [_Cursor(source) for source in sources]
    has_lines = await asyncio.gather(*(head.advance() for head in heads))
    heap = [(heads[number].timestamp(), number) for number, has in enumerate(has_lines) if has]
    heapq.heapify(heap)
    runs: list[LogChunk] = []
    size = 0
    while heap:
        number = heap[0][1]
        run = heads[number].next_run(min(heap[1:3])[0] if heap[1:] else None)
        runs.append(run)
        size += len(run.lines) + _RUN_BYTES
        if size >= batch_bytes:
            yield LogBatch(chunks=runs)
            runs, size = [], 0
        if await heads[number].advance():
            heapq.heapreplace(heap, (heads[number].timestamp(), number))
        else:
            heapq.heappop(heap)
    if runs:
        yield LogBatch(chunks=runs)
