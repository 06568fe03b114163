"""Errors of the image store's disk, and the reserve that unpacking leaves free on it."""

import errno
import os
from collections.abc import Callable

from shoal.errors import Exhausted, Unavailable

CHECK_BYTES = 64 << 20
CHECK_ENTRIES = 4096
_INODE_RESERVE = 64
"""One of this many inodes stays free, on file systems with a fixed number of inodes."""


def disk_error(error: OSError, path: os.PathLike[str] | str) -> Exhausted | Unavailable:
    """What a failed write means for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "no space left or no inodes left"
        return Exhausted(f"image store {path} is full: {what}; free disk space there")
    return Unavailable(f"cannot write images to {path}: {error}")


def _nothing() -> None:
    return None


class DiskGuard:
    """Checks the disk while it is filled: every 64 MiB, every 4,096 entries, and before a large file.

    Args:
        directory_fd: on the file system that is being filled.
        reserve_bytes: what must stay free on it.
        on_check: called at each check.
    """

    def __init__(self, directory_fd: int, *, reserve_bytes: int, on_check: Callable[[], None] = _nothing) -> None:
        self._directory_fd = directory_fd
        self._reserve_bytes = reserve_bytes
        self._on_check = on_check
        self._bytes, self._entries = CHECK_BYTES, 0
        disk = os.fstatvfs(directory_fd)
        self._remaining = disk.f_bavail * disk.f_frsize

    def add_bytes(self, count: int) -> None:
        """Count bytes of the layer that are about to be written.

        Raises:
            Exhausted: that leaves less than the reserve.
        """
        self._bytes += count
        self._remaining -= count
        if self._remaining < 0:
            # Files that replace each other do not fill the disk, but keep it busy.
            raise Exhausted("not enough disk space in the image store to unpack the layer; free disk space there")
        if self._bytes >= CHECK_BYTES:
            self._check()

    def add_entry(self) -> None:
        """One more file or directory. Raises as `add_bytes` does."""
        self._entries += 1
        if self._entries >= CHECK_ENTRIES:
            self._check()

    def require_space(self, size: int) -> None:
        """Check that a file of this size fits, before any of it is written. Raises as `add_bytes` does."""
        if size >= CHECK_BYTES:
            self._check(size)

    def _check(self, more: int = 0) -> None:
        self._bytes = self._entries = 0
        self._on_check()
        disk = os.fstatvfs(self._directory_fd)
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes + more:
            reserve = f"the reserve of {self._reserve_bytes >> 20} MiB"
            if more:
                what = f"not enough disk space in the image store for a file of {more} bytes and {reserve}"
            else:
                what = f"free space in the image store is below {reserve}"
            raise Exhausted(f"{what}; free disk space there")
        if disk.f_files and disk.f_favail < disk.f_files // _INODE_RESERVE:
            raise Exhausted("too few free inodes in the image store; remove small files and try again")
