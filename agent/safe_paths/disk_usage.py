"""Disk usage of a file tree.

`du` is not used: it aborts when directories are renamed meanwhile.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from agent.safe_paths.descent import Descent, DirectoryMoved
from shoal.errors import InvalidInput, Unavailable

TIMEOUT_SECONDS = 60.0
MAX_MILLISECONDS = 60_000
"""Of a timeout that a manager requests."""

MAX_PENDING = 200_000
"""Directories that are known but not scanned yet: some 20 MB of names."""

_BLOCK = 512
"""Bytes that stat(2) counts in."""

_TRIES = 5


def disk_usage(directory: int, *, seconds: float = TIMEOUT_SECONDS) -> int:
    """Bytes on disk of a directory and everything in it, without mounts below it and without following symbolic links.

    Concurrent changes may be counted or not. A file with several names counts in parts, with each name found.

    Args:
        directory: descriptor; it stays the caller's.
        seconds: timeout.
    Raises:
        Unavailable: it took longer, or has too many directories. OSError: the disk failed.
    """
    deadline = time.monotonic() + seconds
    for _ in range(_TRIES):
        descent = Descent(directory)
        with suppress(DirectoryMoved):
            try:
                return _Count(descent, deadline).total()
            finally:
                descent.close()
    raise Unavailable("cannot measure disk usage: directories keep being moved")


def path_disk_usage(path: Path, *, seconds: float = TIMEOUT_SECONDS) -> int:
    """`disk_usage` of a directory by its path, whose last name is no symbolic link. Raises as that."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return disk_usage(directory, seconds=seconds)
    finally:
        os.close(directory)


def measurement_deadline(timeout_ms: int) -> float:
    """When a measurement that begins now has to end, by `time.monotonic`.

    Args:
        timeout_ms: as a manager requests it.
    Raises:
        InvalidInput: the timeout is out of range.
    """
    if not 1 <= timeout_ms <= MAX_MILLISECONDS:
        raise InvalidInput(f"timeout_ms: must be from 1 to {MAX_MILLISECONDS}")
    return time.monotonic() + timeout_ms / 1000


class _Count:
    def __init__(self, descent: Descent, deadline: float) -> None:
        self._descent = descent
        self._deadline = deadline
        status = os.fstat(descent.descriptor)
        self._device = status.st_dev
        self._bytes = float(status.st_blocks * _BLOCK)
        self._pending = 0

    def total(self) -> int:
        levels = [self._scan()]
        while levels:
            if levels[-1]:
                self._pending -= 1
                if self._enter(levels[-1].pop()):
                    levels.append(self._scan())
            else:
                levels.pop()
                if levels:
                    self._descent.leave()
        return round(self._bytes)

    def _enter(self, name: str) -> bool:
        """Whether it is still a directory."""
        try:
            self._descent.enter(name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _scan(self) -> list[str]:
        """Count the current directory's entries; returns the directories in it."""
        if time.monotonic() > self._deadline:
            raise Unavailable("cannot measure disk usage in time: too many files")
        found: list[str] = []
        with os.scandir(self._descent.descriptor) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    self._count(entry, found)
        return found

    def _count(self, entry: os.DirEntry[str], directories: list[str]) -> None:
        status = entry.stat(follow_symlinks=False)
        if status.st_dev != self._device:
            return
        if not entry.is_dir(follow_symlinks=False):
            self._bytes += status.st_blocks * _BLOCK / max(1, status.st_nlink)
            return
        self._bytes += status.st_blocks * _BLOCK
        directories.append(entry.name)
        self._pending += 1
        if self._pending > MAX_PENDING:
            raise Unavailable(f"cannot measure disk usage: more than {MAX_PENDING} directories in one directory")
