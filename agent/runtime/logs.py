"""Reading a container's output across rotated files: in order, in bounded memory, live when wanted."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from io import FileIO
from pathlib import Path

from agent.runtime.log_lines import LONGEST_LINE, LogRecord, ends_record, parse_line
from shoal.errors import NotFound

_CHUNK = 64 << 10
_POLL_SECONDS = 0.1


class Logs:
    """Log files of the containers of this host.

    Args:
        directory: of one task's log.
        running: whether a task's container can still write.
    """

    def __init__(self, *, directory: Callable[[str], Path], running: Callable[[str], bool]) -> None:
        self._directory = directory
        self._running = running

    async def read(
        self, task_id: str, *, follow: bool = False, tail: int | None = None, since_ns: int = 0
    ) -> AsyncIterator[LogRecord]:
        """Records, the oldest first.

        Args:
            follow: go on with what is written, until the container has ended and all is read.
            tail: only the last so many lines (of both streams together) of what is there now; None means all.
            since_ns: skip older ones; nanoseconds since the epoch.
        Raises:
            NotFound: this host has no log of the task.
        """
        directory = self._directory(task_id)
        if not directory.is_dir():
            raise NotFound(f"no log of task {task_id} on this host")
        cursor = await asyncio.to_thread(_Cursor.at, directory, tail)
        try:
            while True:
                # Asked before reading: what was written before the end is then read after it.
                live = follow and self._running(task_id)
                lines = await asyncio.to_thread(cursor.lines)
                for line in lines:
                    record = parse_line(line)
                    if record is not None and record.time_ns >= since_ns:
                        yield record
                if lines:
                    continue
                if await asyncio.to_thread(cursor.advance):
                    continue
                if not live:
                    return
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            cursor.close()


def log_files(directory: Path) -> list[Path]:
    """The files of one log, the oldest first: `log.2`, `log.1`, `log`."""
    numbered = [(int(path.suffix[1:]), path) for path in directory.glob("log.*") if path.suffix[1:].isdigit()]
    current = directory / "log"
    return [path for _, path in sorted(numbered, reverse=True)] + ([current] if current.exists() else [])


class _Cursor:
    """A place in the log that stays right when files are renamed under it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: FileIO | None = None
        self._rest = b""

    @classmethod
    def at(cls, directory: Path, tail: int | None) -> "_Cursor":
        """At the beginning, or before the last `tail` lines."""
        cursor = cls(directory)
        if tail is None:
            cursor.advance()
            return cursor
        opened = [open_file for path in reversed(log_files(directory)) if (open_file := _open(path)) is not None]
        left = tail
        for place, file in enumerate(opened):
            offset, found = _tail_offset(file, left)
            left -= found
            if left <= 0 or place == len(opened) - 1:
                file.seek(offset)
                cursor._file = file
                break
        for file in opened:
            if file is not cursor._file:
                file.close()
        return cursor

    def lines(self) -> list[bytes]:
        """The next whole lines, about 64 KiB at most; empty when there are none now."""
        if self._file is None:
            return []
        while chunk := self._file.read(_CHUNK):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if len(self._rest) > LONGEST_LINE:
                self._rest = b""
            if lines:
                return lines
        return []

    def advance(self) -> bool:
        """Go on to the next newer file, if the current one is not the newest; whether there is more to read.

        A file that conmon has left gets no more lines, but it may have got some since it was last read: only when
        nothing is left in it the cursor moves on.
        """
        following = self._following()
        if following is None:
            return False
        if self._file is not None:
            if os.fstat(self._file.fileno()).st_size > self._file.tell():
                return True
            self._file.close()
        self._file, self._rest = following, b""
        return True

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()

    def _following(self) -> FileIO | None:
        """The file after the current one; the oldest when the current one was deleted."""
        files = [file for path in log_files(self._directory) if (file := _open(path)) is not None]
        nodes = [os.fstat(file.fileno()).st_ino for file in files]
        place = 0
        if self._file is not None and (current := os.fstat(self._file.fileno()).st_ino) in nodes:
            place = nodes.index(current) + 1
        for index, file in enumerate(files):
            if index != place:
                file.close()
        return files[place] if place < len(files) else None


def _open(path: Path) -> FileIO | None:
    try:
        return FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        return None


def _tail_offset(file: FileIO, wanted: int) -> tuple[int, int]:
    """Where the last `wanted` lines of a file begin, and how many it has of them."""
    if wanted <= 0:
        return file.seek(0, os.SEEK_END), 0
    found, begin = 0, 0
    for offset, line in _lines_backwards(file):
        if ends_record(line):
            if found == wanted:
                return begin, found
            found += 1
        begin = offset
    return begin, found


def _lines_backwards(file: FileIO) -> Iterator[tuple[int, bytes]]:
    """Whole lines from the last to the first, with their offsets."""
    position, rest = file.seek(0, os.SEEK_END), b""
    while position:
        size = min(_CHUNK, position)
        position -= size
        block = os.pread(file.fileno(), size, position) + rest
        rest, *lines = block.split(b"\n")
        end = position + len(block)
        for line in reversed(lines):
            end -= len(line)
            if line:
                yield end, line
            end -= 1
    if rest:
        yield 0, rest
