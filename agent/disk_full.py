"""Full disks: tasks wait for disk space instead of failing."""

import errno
import os
import re
from pathlib import Path

from shoal.errors import Exhausted

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DISK_FULL_TEXT = re.compile("no space left on device|disk quota exceeded", re.IGNORECASE)
_KERNEL_TEXT = re.compile(r"cgroup|cpuset|/sys/|/proc/|inotify")
"""The kernel reports ENOSPC also for other things than disks: a cpuset without processors, its own tables."""
_NAMESPACE_TEXT = re.compile(r"\b(?:clone3?|unshare): no space left on device", re.IGNORECASE)
"""clone(2) and unshare(2) have it for a limit on namespaces, and for nothing else."""
_MIN_FREE = 16
"""Blocks and inodes: with fewer no container can be created."""


class DiskFull(Exhausted):
    """A container cannot be created because the node's disk is full; it can once there is space."""


def is_disk_full(error: OSError) -> bool:
    """Whether the error is caused by a full disk, or by an exceeded quota."""
    return error.errno in _FULL and not str(error.filename or "").startswith(("/sys/", "/proc/"))


def says_disk_full(message: str) -> bool:
    """Whether a program's message reports a full disk."""
    return bool(_DISK_FULL_TEXT.search(message)) and not (_KERNEL_TEXT.search(message) or says_namespace_limit(message))


def says_namespace_limit(message: str) -> bool:
    """Whether a program's message reports that the kernel makes no more namespaces."""
    return bool(_NAMESPACE_TEXT.search(message))


def lacks_space(directory: Path) -> bool:
    """Whether the file system of the directory is full: of bytes or of inodes. False if it cannot be determined."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return False
    return disk.f_bavail < _MIN_FREE or bool(disk.f_files and disk.f_favail < _MIN_FREE)


def disk_full(what: str, directory: Path) -> DiskFull:
    """The error, with what to do about it."""
    return DiskFull(f"{what}; free disk space on the file system of {directory}")


def usable_blocks(disk: os.statvfs_result) -> int:
    """What is used and what is available, as df(1) counts: reserved blocks are neither."""
    return disk.f_blocks - disk.f_bfree + disk.f_bavail
