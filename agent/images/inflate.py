"""A compressed blob to what was compressed, a piece at a time and never a larger one. By what the blob begins with.

gzip (RFC 1952) of several members; Zstandard (RFC 8878) of several frames, those that are to be skipped among them.
"""

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

_READ = 256 << 10
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
    member, rest = zlib.decompressobj(wbits=31), b""
    try:
        while compressed := rest or blob.read(_READ):
            if member.eof:
                if not compressed.strip(b"\0"):  # padding
                    return
                member = zlib.decompressobj(wbits=31)
            yield member.decompress(compressed, PIECE)
            rest = member.unused_data if member.eof else member.unconsumed_tail
        while not member.eof:
            left = member.decompress(b"", PIECE)
            if not left and not member.eof:
                raise InvalidInput("the layer's compression is broken: it ends too early")
            yield left
    except zlib.error as error:
        raise InvalidInput(f"the layer's compression is broken: {error}") from error


def _zstd(blob: BinaryIO) -> Iterator[bytes]:
    frame, rest = _new_frame(), b""
    try:
        while compressed := rest or blob.read(_READ):
            if frame.eof:
                frame = _new_frame()
            yield frame.decompress(compressed, PIECE)
            while not frame.eof and not frame.needs_input:
                yield frame.decompress(b"", PIECE)
            rest = frame.unused_data if frame.eof else b""
    except zstd.ZstdError as error:
        raise InvalidInput(f"the layer's compression is broken: {error}") from error
    if not frame.eof:
        raise InvalidInput("the layer's compression is broken: it ends too early")


def _new_frame() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MOST_WINDOW_BITS})
