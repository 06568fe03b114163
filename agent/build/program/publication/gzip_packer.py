"""gzip (RFC 1952), by ISA-L where its wheel is installed: ten times as fast as zlib, and as small at level 1."""

import zlib
from typing import TYPE_CHECKING

try:
    from isal import isal_zlib
except ImportError:  # a processor that has no wheel of it
    isal_zlib = None  # type: ignore[assignment,unused-ignore]

if TYPE_CHECKING:  # it loads zstd, which takes long
    from shoal.images.stream_compressor import StreamCompressor

_GZIP = 31
_FAST_LEVELS = 3
"""Those of ISA-L; from the next one on a small result counts."""


def gzip_packer(level: int) -> "StreamCompressor":
    """A new one. No time and no name go into it.

    Args:
        level: from 1; those above 9 are 9.
    """
    if level <= _FAST_LEVELS and isal_zlib is not None:
        return isal_zlib.compressobj(level, wbits=_GZIP)
    return zlib.compressobj(min(level, 9), wbits=_GZIP)
