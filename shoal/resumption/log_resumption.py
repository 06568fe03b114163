"""Logs that are followed and go on at another manager."""

from shoal.api.v1.control_pb2 import LogsRequest, LogsResponse
from shoal.api.v1.streams_pb2 import LogBatch, LogChunk
from shoal.logs.log_lines import STAMP_BYTES, end_of_line, last_timestamp, parse_line

OVERLAP_NS = 10 * 10**9
"""Nodes' clocks differ, and lines of one node may come later than those of another: so far back lines are asked for
again. A task whose last line is older loses none, since nothing of it was lost."""


class LogResumption:
    """Lines of which none is shown twice, whichever manager sends them. Lines of one task come in the order of time.

    Args:
        started_ns: now, by the caller's clock: where a log goes on of which nothing old was asked for.
    """

    def __init__(self, request: LogsRequest, *, started_ns: int) -> None:
        self._original = request
        self._started_ns = started_ns
        self._asked = False
        self._sources: set[str] = set()
        self._last: dict[str, tuple[bytes, int]] = {}
        self._newest_ns = 0
        self._repeated: dict[str, tuple[bytes, int]] = {}

    def request(self) -> LogsRequest:
        if not self._asked:
            self._asked = True
            return self._original
        self._repeated = dict(self._last)
        resumed = LogsRequest()
        resumed.CopyFrom(self._original)
        only_new = self._original.HasField("tail") and not self._original.tail
        if self._last or only_new:
            resumed.ClearField("tail")
            oldest = self._started_ns if only_new else self._original.since_ns
            resumed.since_ns = max(oldest, self._newest_ns - OVERLAP_NS)
        return resumed

    def unseen(self, answer: LogsResponse) -> LogsResponse | None:
        if answer.HasField("source"):
            is_new = answer.source.task_id not in self._sources
            self._sources.add(answer.source.task_id)
            return answer if is_new else None
        if not answer.HasField("batch"):
            return answer
        if self._repeated:
            chunks = [kept for each in answer.batch.chunks if (kept := self._without_repeated(each)) is not None]
            answer = LogsResponse(batch=LogBatch(chunks=chunks))
        for chunk in answer.batch.chunks:
            self._note(chunk)
        return answer

    def _without_repeated(self, chunk: LogChunk) -> LogChunk | None:
        """A chunk without the lines that were shown before the loss; None: it had no others."""
        known = self._repeated.get(chunk.task_id)
        if known is None or not chunk.lines:
            return chunk
        lines, left = _lines_after(chunk.lines, *known)
        if lines:
            del self._repeated[chunk.task_id]
            return LogChunk(task_id=chunk.task_id, lines=lines)
        self._repeated[chunk.task_id] = (known[0], left)
        return None

    def _note(self, chunk: LogChunk) -> None:
        lines = chunk.lines
        if not lines:
            return
        stamp = last_timestamp(lines)
        before, count = self._last.get(chunk.task_id, (b"", 0))
        self._last[chunk.task_id] = stamp, _lines_of_last(lines, stamp) + (count if before == stamp else 0)
        if (line := parse_line(lines[lines.rfind(b"\n", 0, -1) + 1 :].rstrip(b"\n"))) is not None:
            self._newest_ns = max(self._newest_ns, line.time_ns)


def _lines_of_last(lines: bytes, stamp: bytes) -> int:
    """How many of the last lines were written at that time."""
    count, end = 0, len(lines)
    while end:
        begin = lines.rfind(b"\n", 0, end - 1) + 1
        if not lines.startswith(stamp, begin):
            break
        count, end = count + 1, begin
    return count


def _lines_after(lines: bytes, stamp: bytes, count: int) -> tuple[bytes, int]:
    """The lines after those up to a time, of which `count` are of that very time; and how many of these are missing."""
    begin = 0
    while begin < len(lines):
        found = lines[begin : begin + STAMP_BYTES]
        if found > stamp or (found == stamp and not count):
            break
        count -= found == stamp
        begin = end_of_line(lines, begin)
    return lines[begin:], count
