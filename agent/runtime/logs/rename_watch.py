"""Counts renames to a name in a directory by inotify(7), which Python's library lacks."""

import ctypes
import os
import struct
from collections import Counter
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
        while True:
            try:
                events = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return found if complete else None
            at = 0
            while at < len(events):
                watch, mask, _, length = _EVENT.unpack_from(events, at)
                name = events[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
                at += _EVENT.size + length
                complete = complete and not mask & _IN_Q_OVERFLOW
                found[watch] += mask & _IN_MOVED_TO != 0 and name == self._name


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
