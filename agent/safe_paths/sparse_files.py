"""Copies a regular file's content by the kernel, preserving holes, and sharing blocks where the file system can."""

import errno
import os
from collections.abc import Iterator

_MAX_SENDFILE = 1 << 26
_NOT_SHARED = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)
_BLOCK = 512
"""Bytes that stat(2) counts in."""


def copy_content(source: int, target: int) -> None:
    """Copy a regular file into an empty one; concurrent writes may be copied or not.

    Args:
        source: a descriptor to read from; target: one to write to, at its beginning.
    Raises:
        OSError: the disk or the kernel failed.
    """
    status = os.fstat(source)
    end = 0
    for begin, end in data_ranges(source, status):
        if begin:
            os.lseek(target, begin, os.SEEK_SET)
        _send(source, target, begin, end)
    if end < status.st_size:
        os.ftruncate(target, status.st_size)


def _send(source: int, target: int, begin: int, end: int) -> None:
    """Copy a range to the target's position."""
    begin = _share(source, target, begin, end)
    while begin < end and (sent := os.sendfile(target, source, begin, min(_MAX_SENDFILE, end - begin))):
        begin += sent


def _share(source: int, target: int, begin: int, end: int) -> int:
    """As copy_file_range(2), which shares blocks on XFS and btrfs; how far that has led."""
    try:
        while begin < end and (copied := os.copy_file_range(source, target, min(_MAX_SENDFILE, end - begin), begin)):
            begin += copied
    except OSError as error:
        if error.errno not in _NOT_SHARED:
            raise
    return begin


def data_ranges(source: int, status: os.stat_result) -> Iterator[tuple[int, int]]:
    """Begin and end of each range that is not a hole. Raises OSError: the disk failed."""
    size = status.st_size
    if status.st_blocks * _BLOCK >= size:
        if size:
            yield 0, size
        return
    end = 0
    while end < size:
        try:
            begin = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # only a hole until the end
                raise
            return
        end = min(os.lseek(source, begin, os.SEEK_HOLE), size)
        yield begin, end
