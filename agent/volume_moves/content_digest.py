"""Digest of a regular file's content, independent of its holes."""

import os
from collections.abc import Callable
from typing import Protocol

from agent.safe_paths.sparse_files import data_ranges

BLOCK_BYTES = 1 << 20
_ZEROS = bytes(BLOCK_BYTES)


class Digest(Protocol):
    """A hash object of hashlib."""

    def update(self, data: bytes, /) -> None: ...


def update_digest(digest: Digest, source: int, status: os.stat_result, on_bytes: Callable[[int], None]) -> None:
    """Add a file's data to a digest: blocks that are not all zeros, each with its offset. Holes are not read.

    Args:
        on_bytes: called with the number of bytes read.
    Raises:
        OSError: the disk failed.
    """
    after = 0
    for begin, end in data_ranges(source, status):
        for offset in range(max(after, begin - begin % BLOCK_BYTES), end, BLOCK_BYTES):
            block = os.pread(source, min(BLOCK_BYTES, status.st_size - offset), offset)
            if block != _ZEROS[: len(block)]:
                digest.update(offset.to_bytes(8, "little"))
                digest.update(block)
            on_bytes(len(block))
            after = offset + BLOCK_BYTES
