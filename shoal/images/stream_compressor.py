"""Compressors of layers as streams."""

import sys
import zlib
from typing import Literal, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Compression = Literal["gzip", "zstd", "none", "fastest"]
"""`fastest`: zstd, and gzip for layers whose media type has no zstd."""

_LEVEL, _THREADS = zstd.CompressionParameter.compression_level, zstd.CompressionParameter.nb_workers
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


def stream_compressor(compression: Compression, *, threads: int = 0) -> StreamCompressor:
    """A new one. The same bytes give the same bytes: no time and no name go into them.

    Args:
        threads: of zstd, beside the caller's own; 0: none.
    """
    if compression == "zstd":
        return zstd.ZstdCompressor(options={_LEVEL: _ZSTD_LEVEL, _THREADS: threads})
    return zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_BITS)
