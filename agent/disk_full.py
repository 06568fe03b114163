"""A full disk: tasks wait for room on it, they do not fail at it."""

import errno
import os
import re
from pathlib import Path

from shoal.errors import Exhausted

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DISK_FULL_TEXT = re.compile("no space left on device|disk quota exceeded", re.IGNORECASE)
_KERNEL_TEXT = re.compile(r"cgroup|cpuset|/sys/|/proc/|inotify")
"""Where the kernel says so of what is no disk: a cpuset without processors, its own tables."""
_MIN_FREE = 16
"""Blocks, and inodes: with fewer no container can be made."""


class DiskFull(Exhausted):
    """A container cannot be made for want of room on the node's disk; it can once there is some."""


def is_disk_full(error: OSError) -> bool:
    """Whether the error is that of a full disk, or of a quota that is used up."""
    return error.errno in _FULL and not str(error.filename or "").startswith(("/sys/", "/proc/"))


def says_disk_full(message: str) -> bool:
    """Whether a program says that it met a full disk."""
    return bool(_DISK_FULL_TEXT.search(message)) and not _KERNEL_TEXT.search(message)


def lacks_space(directory: Path) -> bool:
    """Whether the file system of the directory is full: of bytes or of inodes. One that cannot be asked is not."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return False
    return disk.f_bavail < _MIN_FREE or bool(disk.f_files and disk.f_favail < _MIN_FREE)


def disk_full(what: str, directory: Path) -> DiskFull:
    """The error, with what to do about it."""
    return DiskFull(f"{what}; free disk space on the file system of {directory}")
