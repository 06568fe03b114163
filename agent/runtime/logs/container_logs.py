"""Reading a container's output across its files: in order, by the quarter of a megabyte, live when wanted."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from agent.runtime.logs.log_cursor import LogCursor, LogLines
from shoal.errors import NotFound
from shoal.logs.log_lines import STAMP_BYTES, end_of_line, last_timestamp, timestamp_bytes, to_utc

CHUNK_BYTES = 256 << 10
_POLL_SECONDS = 0.1


class ContainerLogs:
    """Log files of the containers of this host.

    Args:
        directory: of one task's log.
        is_running: whether a task's container can still write.
    """

    def __init__(self, *, directory: Callable[[str], Path], is_running: Callable[[str], bool]) -> None:
        self._directory = directory
        self._is_running = is_running

    async def read(
        self,
        task_id: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since_ns: int = 0,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> AsyncGenerator[LogLines]:
        """Lines, the oldest first, with their times in UTC.

        No file stays open in between: a reader that does not go on keeps nothing on the disk.

        Args:
            follow: go on with what is written, until the container has ended and all is read.
            tail: only the last so many lines (of both streams together) of what is there now; None means all.
            since_ns: begin at the first that is not older; nanoseconds since the epoch.
            chunk_bytes: to be read at a time; whole lines of about so much come.
        Raises:
            NotFound: this host has no log of the task.
        """
        directory = self._directory(task_id)
        if not directory.is_dir():
            raise NotFound(f"no log of task {task_id} on this host")
        since = _Since(since_ns)
        is_over = not self._is_running(task_id)
        cursor = await asyncio.to_thread(LogCursor.at, directory, is_over=is_over, tail=tail, since_ns=since_ns)
        while True:
            # Asked before reading: what was written before the end is then read after it.
            is_over = not self._is_running(task_id)
            found = await asyncio.to_thread(cursor.read, chunk_bytes, is_over=is_over)
            if found is None:
                if is_over or not follow:
                    return
                await asyncio.sleep(_POLL_SECONDS)
            elif lines := since.cut(to_utc(found.data)):
                yield LogLines(lines, found.lost)
            elif found.lost:
                yield LogLines(b"", lost=True)


class _Since:
    """Leaves out what comes before a moment; from the first line after it on, all passes."""

    def __init__(self, since_ns: int) -> None:
        self._stamp = timestamp_bytes(since_ns) if since_ns else b""

    def cut(self, lines: bytes) -> bytes:
        if not self._stamp:
            return lines
        if last_timestamp(lines) < self._stamp:
            return b""
        begin = 0
        while begin < len(lines) and lines[begin : begin + STAMP_BYTES] < self._stamp:
            begin = end_of_line(lines, begin)
        self._stamp = b""
        return lines[begin:]
