"""Reads a container's log across its files: in order, in chunks of 256 KiB, optionally following it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.runtime.logs.log_cursor import LogCursor, LogLines
from shoal.errors import NotFound
from shoal.logs.log_lines import STAMP_BYTES, end_of_line, last_timestamp, timestamp_bytes, to_utc

CHUNK_BYTES = 256 << 10
_POLL_SECONDS = 0.1

FINISH_SECONDS = 2.0
"""How long a removal waits for those who read the log and are slow."""


class ContainerLogs:
    """Logs of the containers on this host.

    Args:
        directory: returns the log directory of a task.
        is_running: whether a task's container is running and may write.
    """

    def __init__(self, *, directory: Callable[[str], Path], is_running: Callable[[str], bool]) -> None:
        self._directory = directory
        self._is_running = is_running
        self._readers: dict[str, set[_Reader]] = {}

    async def finish(self, task_id: str, *, seconds: float = FINISH_SECONDS) -> None:
        """Let everyone who reads a log read the rest of it. Its files may be deleted then.

        Args:
            seconds: that slow readers have; they lose lines after that.
        """
        readers = list(self._readers.get(task_id, ()))
        for reader in readers:
            reader.finishing.set()
        if readers:
            await asyncio.wait([reader.ended for reader in readers], timeout=seconds)

    async def read(
        self,
        task_id: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since_ns: int = 0,
        until_ns: int = 0,
        chunk_bytes: int = CHUNK_BYTES,
        announce: bool = False,
    ) -> AsyncGenerator[LogLines]:
        """Lines, the oldest first, with their times in UTC.

        No file stays open between reads: an idle reader occupies no disk space.

        Args:
            follow: continue with new output, until the container has exited and everything is read.
            tail: only this many of the last existing lines (of both streams together); None: all.
            since_ns: begin with the first line that is not older; nanoseconds since the epoch.
            until_ns: end before the first line that is younger, and that ends following too; 0: no bound.
            chunk_bytes: bytes per read; each item has whole lines of about this size.
            announce: the first item is empty; `finish` waits for this reader from then on.
        Raises:
            NotFound: this host has no log of the task.
        """
        directory = self._directory(task_id)
        if not directory.is_dir():
            raise NotFound(f"no log of task {task_id} on this host")
        since, until = _Since(since_ns), _Until(until_ns)
        with self._reader(task_id) as reader:
            is_over = not self._is_running(task_id)
            cursor = await asyncio.to_thread(LogCursor.at, directory, is_over=is_over, tail=tail, since_ns=since_ns)
            if announce:
                yield LogLines(b"")
            while True:
                # Checked before reading: what was written before the exit is then read after it.
                is_over = reader.finishing.is_set() or not self._is_running(task_id)
                found = await asyncio.to_thread(cursor.read, chunk_bytes, is_over=is_over)
                if found is None:
                    if is_over or not follow:
                        return
                    await reader.pause()
                elif lines := until.cut(since.cut(to_utc(found.data))):
                    yield LogLines(lines, found.lost)
                elif found.lost:
                    yield LogLines(b"", lost=True)
                if until.is_reached:
                    return

    @contextmanager
    def _reader(self, task_id: str) -> "Iterator[_Reader]":
        reader = _Reader()
        self._readers.setdefault(task_id, set()).add(reader)
        try:
            yield reader
        finally:
            reader.ended.set_result(None)
            self._readers[task_id].discard(reader)
            if not self._readers[task_id]:
                del self._readers[task_id]


class _Reader:
    """One that reads a log.

    Attributes:
        finishing: nothing more is written; the rest is to be read.
        ended: done when it has read all, or is gone.
    """

    def __init__(self) -> None:
        self.finishing = asyncio.Event()
        self.ended = asyncio.get_running_loop().create_future()

    async def pause(self) -> None:
        """Until there may be more to read."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self.finishing.wait()


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
