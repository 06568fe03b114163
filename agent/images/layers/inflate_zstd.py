"""Decompresses a Zstandard blob (RFC 8878) of several frames, as `inflate` does for gzip."""

import os
import sys
from collections.abc import Iterator
from io import BufferedIOBase

from agent.images.layers.inflate import MAX_READ, MIN_READ, PIECE, TRUNCATED
from shoal.errors import InvalidInput

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_WINDOW_BITS = 26
"""64 MiB of memory: the largest window. Image builders use up to 32 MiB."""


def inflated_zstd(blob: BufferedIOBase) -> Iterator[bytes]:
    """As `inflate.inflated`, for a blob of which `inflate.is_zstd` is true."""
    try:
        while blob.read(1):
            blob.seek(-1, os.SEEK_CUR)
            frame, size = _new_frame(), MIN_READ
            while not frame.eof:
                compressed = blob.read(size) if frame.needs_input else b""
                if frame.needs_input and not compressed:
                    raise InvalidInput(TRUNCATED)
                size = min(2 * size, MAX_READ)
                yield frame.decompress(compressed, PIECE)
            blob.seek(-len(frame.unused_data), os.SEEK_CUR)
    except zstd.ZstdError as error:
        raise InvalidInput(f"the layer's compressed data is corrupt: {error}") from error


def _new_frame() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW_BITS})
