"""A compressed blob to what was compressed, a piece at a time and never a larger one. By what the blob begins with.

gzip (RFC 1952) of several members; Zstandard (RFC 8878) of several frames, those that are to be skipped among them.
"""

import os
import sys
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from shoal.errors import InvalidInput

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE = 1 << 20
"""No piece has more bytes, however well they were compressed."""

MOST_WINDOW_BITS = 26
"""Of zstd: 64 MiB of memory, which is as far as a frame may look back. What builds images uses up to 32 MiB."""

_LEAST_READ, _READ = 4 << 10, 256 << 10
"""What is given to the decompressor at once. It copies what follows the end of a member or frame: the first pieces are
small, so that many tiny ones cost no more than their bytes.
"""

_TOO_EARLY = "the layer's compression is broken: it ends too early"
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPED = tuple(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16))


def inflated(blob: BinaryIO) -> Iterator[bytes]:
    """The blob's pieces from its beginning on; its own where it is not compressed.

    Raises:
        InvalidInput: the compression is broken, or needs more memory than is given to it.
    """
    magic = blob.read(4)
    blob.seek(0)
    if magic.startswith(_GZIP):
        return _gzip(blob)
    if magic.startswith((_ZSTD, *_ZSTD_SKIPPED)):
        return _zstd(blob)
    return iter(lambda: blob.read(PIECE), b"")


def _gzip(blob: BinaryIO) -> Iterator[bytes]:
    try:
        while _skip_zeros(blob):
            member, size = zlib.decompressobj(wbits=31), _LEAST_READ
            while not member.eof:
                compressed = member.unconsumed_tail or blob.read(size)
                size = min(2 * size, _READ)
                piece = member.decompress(compressed, PIECE)
                if not compressed and not piece and not member.eof:
                    raise InvalidInput(_TOO_EARLY)
                yield piece
            blob.seek(-len(member.unused_data), os.SEEK_CUR)
    except zlib.error as error:
        raise InvalidInput(f"the layer's compression is broken: {error}") from error


def _skip_zeros(blob: BinaryIO) -> bool:
    """Members may have zeros behind them, as padding; whether there is another one."""
    while chunk := blob.read(_LEAST_READ):
        if rest := chunk.lstrip(b"\0"):
            blob.seek(-len(rest), os.SEEK_CUR)
            return True
    return False


def _zstd(blob: BinaryIO) -> Iterator[bytes]:
    try:
        while blob.read(1):
            blob.seek(-1, os.SEEK_CUR)
            frame, size = _new_frame(), _LEAST_READ
            while not frame.eof:
                compressed = blob.read(size) if frame.needs_input else b""
                if frame.needs_input and not compressed:
                    raise InvalidInput(_TOO_EARLY)
                size = min(2 * size, _READ)
                yield frame.decompress(compressed, PIECE)
            blob.seek(-len(frame.unused_data), os.SEEK_CUR)
    except zstd.ZstdError as error:
        raise InvalidInput(f"the layer's compression is broken: {error}") from error


def _new_frame() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MOST_WINDOW_BITS})
