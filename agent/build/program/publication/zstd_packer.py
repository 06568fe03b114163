"""Zstandard at a level (RFC 8878). It takes long to load: import it at first use."""

import sys

from shoal.images.stream_compressor import StreamCompressor

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_LEVEL = 19
"""Higher ones need hundreds of megabytes."""


def zstd_packer(level: int) -> StreamCompressor:
    """A new one."""
    return zstd.ZstdCompressor(options={zstd.CompressionParameter.compression_level: max(1, min(level, MAX_LEVEL))})
