"""Renames to names in directories by inotify(7), which Python's library lacks."""

import ctypes
import os
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_IN_MOVED_TO = 0x80
_IN_Q_OVERFLOW = 0x4000
_IN_ONLYDIR = 0x0100_0000
_EVENT = struct.Struct("iIII")
_READ_BYTES = 64 << 10

_libc = ctypes.CDLL(None, use_errno=True)


class RenameWatch:
    """Counts how often a file was renamed to one name, in each of many directories.

    Args:
        name: in each directory.
    """

    def __init__(self, name: str) -> None:
        self._name = os.fsencode(name)
        self._descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")

    def fileno(self) -> int:
        """Readable when there are events."""
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    def watch(self, directory: Path) -> int:
        """Watch a directory; returns its key in the result of `read`.

        Raises:
            OSError: among others ENOSPC, if the host's limit (fs.inotify.max_user_watches) is reached.
        """
        mask = _IN_MOVED_TO | _IN_ONLYDIR
        return _checked(_libc.inotify_add_watch(self._descriptor, os.fsencode(directory), mask), str(directory))

    def unwatch(self, watch: int) -> None:
        """Stop watching. No error if the directory is gone."""
        _libc.inotify_rm_watch(self._descriptor, watch)

    def read(self) -> Counter[int] | None:
        """Number of renames by watch since the last call; None if the kernel's queue has overflowed."""
        found: Counter[int] = Counter()
        complete = True
        for watch, mask, name in _events(self._descriptor):
            complete = complete and not mask & _IN_Q_OVERFLOW
            found[watch] += mask & _IN_MOVED_TO != 0 and name == self._name
        return found if complete else None


class NameWatch:
    """The names to which files in one directory were renamed.

    Raises:
        OSError: among others EMFILE or ENOSPC, if a limit of the host (fs.inotify) is reached.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
        try:
            mask = _IN_MOVED_TO | _IN_ONLYDIR
            _checked(_libc.inotify_add_watch(self._descriptor, os.fsencode(directory), mask), str(directory))
        except OSError:
            os.close(self._descriptor)
            raise

    def fileno(self) -> int:
        """Readable when there are events."""
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self) -> list[str] | None:
        """Names since the last call; None if the kernel's queue has overflowed."""
        found: list[str] = []
        complete = True
        for _, mask, name in _events(self._descriptor):
            complete = complete and not mask & _IN_Q_OVERFLOW
            if mask & _IN_MOVED_TO:
                found.append(os.fsdecode(name))
        return found if complete else None


def _events(descriptor: int) -> Iterator[tuple[int, int, bytes]]:
    """Watch, mask and name of all events that are there."""
    while True:
        try:
            events = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(events):
            watch, mask, _, length = _EVENT.unpack_from(events, at)
            yield watch, mask, events[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
            at += _EVENT.size + length


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
