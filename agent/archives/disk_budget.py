"""Stops writing into a container before its disk is full."""

import os

from shoal.errors import Exhausted

RESERVE_BYTES = 256 << 20
"""What stays free on the disk of containers."""

MAX_ENTRIES_PER_CHECK = 1024
CHECK_BYTES = 16 << 20
_INODE_RESERVE = 64
"""One of this many inodes stays free, on file systems with a fixed number of inodes."""


class DiskBudget:
    """Of one archive. It may go to several file systems: the one of containers is checked, where volumes are as a rule.

    Args:
        directory: on the file system to check; descriptor, stays the caller's.
        reserve_bytes: what must stay free on it.
    """

    def __init__(self, directory: int, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        self._bytes, self._entries = CHECK_BYTES, 0

    def add_bytes(self, count: int) -> None:
        """Count bytes that are about to be written. Raises Exhausted if they would leave less than the reserve."""
        self._bytes += count
        if self._bytes >= CHECK_BYTES:
            self._check(count)

    def add_entry(self) -> None:
        """Count one more file or directory. Raises Exhausted."""
        self._entries += 1
        if self._entries >= MAX_ENTRIES_PER_CHECK:
            self._check(0)

    def require(self, size: int) -> None:
        """Check that a file of this size fits, before any of it is written. Raises Exhausted."""
        if size >= CHECK_BYTES:
            self._check(size)

    def _check(self, more: int) -> None:
        self._bytes = self._entries = 0
        disk = os.fstatvfs(self._directory)
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes + more:
            reserve = f"the reserve of {self._reserve_bytes >> 20} MiB"
            raise Exhausted(f"not enough disk space for the archive and {reserve} on the node; free disk space there")
        if disk.f_files and disk.f_favail < disk.f_files // _INODE_RESERVE:
            raise Exhausted("too few free inodes on the node's disk of containers; remove small files and try again")
