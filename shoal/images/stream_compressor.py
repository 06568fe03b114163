"""Compressors of layers as streams."""

import sys
import zlib
from typing import Literal, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Compression = Literal["gzip", "zstd", "none"]

_GZIP_LEVEL = 6
_GZIP_BITS = 31
_ZSTD_LEVEL = 1
"""About five times as fast as gzip at its fastest, at the size of gzip's default level."""


class StreamCompressor(Protocol):
    """What `zlib` and `zstd` have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """What comes out for some bytes more."""
        ...

    def flush(self) -> bytes:
        """What is left at the end."""
        ...


def stream_compressor(compression: Compression) -> StreamCompressor:
    """A new one. The same bytes give the same bytes: no time and no name go into them."""
    if compression == "zstd":
        return zstd.ZstdCompressor(level=_ZSTD_LEVEL)
    return zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_BITS)
