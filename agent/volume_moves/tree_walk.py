"""Walks a file tree in an order that is the same on each node, without paths and at any depth."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.safe_paths.descent import Descent
from shoal.errors import Refused

_PATH_ONLY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class EnterDirectory(NamedTuple):
    """Enter a directory of this name."""

    name: bytes


class LeaveDirectory(NamedTuple):
    """The current directory is complete; its status, and its descriptor until the next step."""

    descriptor: int
    status: os.stat_result


class FileEntry(NamedTuple):
    """An entry that is not a directory.

    Attributes:
        number: counts up from 1 over the whole tree.
        descriptor: O_PATH, until the next step.
        hard_link_to: the number of an earlier entry of the same file; 0: none.
    """

    number: int
    name: bytes
    descriptor: int
    status: os.stat_result
    hard_link_to: int


TreeStep = EnterDirectory | LeaveDirectory | FileEntry


@dataclass
class _Level:
    status: os.stat_result
    entries: list[bytes] = field(default_factory=list)
    directories: list[bytes] = field(default_factory=list)


def walk_tree(top: int) -> Iterator[TreeStep]:
    """Each directory's entries by name, then its directories by name; the top's `LeaveDirectory` is the last step.

    Args:
        top: descriptor of a directory; it stays the caller's.
    Raises:
        Refused: there is a device. OSError: the disk failed, or the tree was changed meanwhile.
    """
    descent = Descent(top)
    try:
        yield from _TreeWalk(descent).steps()
    finally:
        descent.close()


class _TreeWalk:
    def __init__(self, descent: Descent) -> None:
        self._descent = descent
        self._number = 0
        self._first_names: dict[tuple[int, int], int] = {}

    def steps(self) -> Iterator[TreeStep]:
        levels = [self._scan(os.fstat(self._descent.descriptor))]
        yield from self._entries(levels[-1])
        while levels:
            if levels[-1].directories:
                name = levels[-1].directories.pop()
                levels.append(self._scan(self._descent.enter(os.fsdecode(name))))
                yield EnterDirectory(name)
                yield from self._entries(levels[-1])
            else:
                yield LeaveDirectory(self._descent.descriptor, levels.pop().status)
                if levels:
                    self._descent.leave()

    def _scan(self, status: os.stat_result) -> _Level:
        found = _Level(status)
        with os.scandir(self._descent.descriptor) as entries:
            for entry in entries:
                is_directory = entry.is_dir(follow_symlinks=False)
                (found.directories if is_directory else found.entries).append(os.fsencode(entry.name))
        found.entries.sort()
        found.directories.sort(reverse=True)
        return found

    def _entries(self, level: _Level) -> Iterator[FileEntry]:
        for name in level.entries:
            descriptor = os.open(name, _PATH_ONLY, dir_fd=self._descent.descriptor)
            try:
                yield self._entry(name, descriptor)
            finally:
                os.close(descriptor)
        level.entries.clear()

    def _entry(self, name: bytes, descriptor: int) -> FileEntry:
        status = os.fstat(descriptor)
        if not is_movable(status.st_mode, status.st_rdev):
            raise Refused(
                f"{os.fsdecode(name)!r} is a device (major {os.major(status.st_rdev)}, minor "
                f"{os.minor(status.st_rdev)}); devices are not copied to another node, remove it"
            )
        self._number += 1
        hard_link_to = 0
        if status.st_nlink > 1:
            hard_link_to = self._first_names.setdefault((status.st_dev, status.st_ino), self._number)
        return FileEntry(self._number, name, descriptor, status, hard_link_to if hard_link_to != self._number else 0)


def is_movable(mode: int, device: int) -> bool:
    """Whether it is a regular file, a symbolic link, a FIFO, a socket, or a whiteout of an overlay (device 0:0)."""
    kinds = (stat.S_ISREG, stat.S_ISLNK, stat.S_ISFIFO, stat.S_ISSOCK)
    return any(each(mode) for each in kinds) or (stat.S_ISCHR(mode) and device == 0)
