"""Walks a directory tree of any depth with a bounded number of file descriptors, without paths."""

import os
from dataclasses import dataclass

from agent.safe_paths.system_calls import open_beneath

_MAX_OPEN = 32
"""Open directories, the innermost ones; outer ones are opened again on the way up."""


class DirectoryMoved(OSError):
    """A directory was moved during an operation in it."""


@dataclass
class _OpenLevel:
    identity: tuple[int, int]
    descriptor: int = -1


class Descent:
    """The directories from a top one down to the current one. Other processes may rename and replace them meanwhile.

    Going down never follows a symbolic link; going up returns to the same directory, or raises `DirectoryMoved`.

    Args:
        top: descriptor of a directory; it stays the caller's.
    """

    def __init__(self, top: int) -> None:
        self._levels = [_OpenLevel(_identity(os.fstat(top)), os.dup(top))]

    @property
    def descriptor(self) -> int:
        """Of the current directory; valid until the next `enter`, `leave` or `close`."""
        return self._levels[-1].descriptor

    def enter(self, name: str) -> os.stat_result:
        """Enter a directory of the current one; returns its status.

        Raises:
            OSError: ELOOP or ENOTDIR if it is not a directory, or not any more.
        """
        inner = open_beneath(self.descriptor, name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        status = os.fstat(inner)
        self._levels.append(_OpenLevel(_identity(status), inner))
        if len(self._levels) > _MAX_OPEN and (outer := self._levels[-_MAX_OPEN - 1]).descriptor >= 0:
            os.close(outer.descriptor)
            outer.descriptor = -1
        return status

    def leave(self) -> None:
        """Go up to the parent.

        Raises:
            DirectoryMoved: the directory has another parent now.
        """
        inner, outer = self._levels[-1], self._levels[-2]
        if outer.descriptor < 0:
            descriptor = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=inner.descriptor)
            if _identity(os.fstat(descriptor)) != outer.identity:
                os.close(descriptor)
                raise DirectoryMoved("a directory was moved during the operation")
            outer.descriptor = descriptor
        os.close(self._levels.pop().descriptor)

    def close(self) -> None:
        """Close all descriptors."""
        for level in self._levels:
            if level.descriptor >= 0:
                os.close(level.descriptor)
        self._levels.clear()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
