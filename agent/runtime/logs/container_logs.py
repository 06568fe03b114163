"""Reads a container's log across its files: in order, in chunks of 256 KiB, optionally following it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from agent.runtime.logs.log_cursor import LogCursor, LogLines
from shoal.errors import NotFound
from shoal.logs.log_lines import STAMP_BYTES, end_of_line, last_timestamp, timestamp_bytes, to_utc

CHUNK_BYTES = 256 << 10
_POLL_SECONDS = 0.1


class ContainerLogs:
    """Logs of the containers on this host.

    Args:
        directory: returns the log directory of a task.
        is_running: whether a task's container is running and may write.
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
        until_ns: int = 0,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> AsyncGenerator[LogLines]:
        """Lines, the oldest first, with their times in UTC.

        No file stays open between reads: an idle reader occupies no disk space.

        Args:
            follow: continue with new output, until the container has exited and everything is read.
            tail: only this many of the last existing lines (of both streams together); None: all.
            since_ns: begin with the first line that is not older; nanoseconds since the epoch.
            until_ns: end before the first line that is younger, and that ends following too; 0: no bound.
            chunk_bytes: bytes per read; each item has whole lines of about this size.
        Raises:
            NotFound: this host has no log of the task.
        """
        directory = self._directory(task_id)
        if not directory.is_dir():
            raise NotFound(f"no log of task {task_id} on this host")
        since, until = _Since(since_ns), _Until(until_ns)
        is_over = not self._is_running(task_id)
        cursor = await asyncio.to_thread(LogCursor.at, directory, is_over=is_over, tail=tail, since_ns=since_ns)
        while True:
            # Checked before reading: what was written before the exit is then read after it.
            is_over = not self._is_running(task_id)
            found = await asyncio.to_thread(cursor.read, chunk_bytes, is_over=is_over)
            if found is None:
                if is_over or not follow:
                    return
                await asyncio.sleep(_POLL_SECONDS)
            elif lines := until.cut(since.cut(to_utc(found.data))):
                yield LogLines(lines, found.lost)
            elif found.lost:
                yield LogLines(b"", lost=True)
            if until.is_reached:
                return


class _Since:
    """Drops lines before a point in time; passes all lines from the first later one on."""

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


class _Until:
    """Drops lines after a point in time, from the first later one on.

    Attributes:
        is_reached: there was one.
    """

    def __init__(self, until_ns: int) -> None:
        self._stamp = timestamp_bytes(until_ns) if until_ns else b""
        self.is_reached = False

    def cut(self, lines: bytes) -> bytes:
        if not self._stamp or not lines or last_timestamp(lines) <= self._stamp:
            return lines
        self.is_reached = True
        end = 0
        while end < len(lines) and lines[end : end + STAMP_BYTES] <= self._stamp:
            end = end_of_line(lines, end)
        return lines[:end]
