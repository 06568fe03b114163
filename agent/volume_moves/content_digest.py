"""A digest of what is in a regular file, that does not depend on where its holes are."""

import os
from collections.abc import Callable
from typing import Protocol

from agent.safe_paths.sparse_files import data_ranges

BLOCK_BYTES = 1 << 20
_ZEROS = bytes(BLOCK_BYTES)


class Digest(Protocol):
    """As of hashlib."""

    def update(self, data: bytes, /) -> None: ...


def update_digest(digest: Digest, source: int, status: os.stat_result, on_bytes: Callable[[int], None]) -> None:
    """Put all data into a digest: blocks that are not all zeros, each with its place. Holes are not read.

    Args:
        on_bytes: called with the number of bytes that were read.
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
            on_bytes(len(block))
            after = offset + BLOCK_BYTES
