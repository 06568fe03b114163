"""Where a regular file has data, and a digest of them that does not depend on where its holes are."""

import errno
import os
from collections.abc import Callable, Iterator
from typing import Protocol

BLOCK_BYTES = 1 << 20
_ZEROS = bytes(BLOCK_BYTES)
_STAT_BLOCK = 512


class Hash(Protocol):
    """As of hashlib."""

    def update(self, data: bytes, /) -> None: ...


def data_ranges(source: int, status: os.stat_result) -> Iterator[tuple[int, int]]:
    """Begins and ends of what is no hole."""
    size = status.st_size
    if status.st_blocks * _STAT_BLOCK >= size:
        if size:
            yield 0, size
        return
    end = 0
    while end < size:
        try:
            begin = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nothing but a hole until the end
                raise
            return
        end = min(os.lseek(source, begin, os.SEEK_HOLE), size)
        yield begin, end


def feed_content(digest: Hash, source: int, status: os.stat_result, note: Callable[[int], None]) -> None:
    """Put all data into a digest: blocks that are not all zeros, each with its place. Holes are not read.

    Args:
        note: called with the number of bytes that were read.
    Raises:
        OSError: the disk refused.
    """
    after = 0
    for begin, end in data_ranges(source, status):
        for offset in range(max(after, begin - begin % BLOCK_BYTES), end, BLOCK_BYTES):
            block = os.pread(source, min(BLOCK_BYTES, status.st_size - offset), offset)
            if block != _ZEROS[: len(block)]:
                digest.update(offset.to_bytes(8, "little"))
                digest.update(block)
            note(len(block))
            after = offset + BLOCK_BYTES
