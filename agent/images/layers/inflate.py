"""Decompresses a blob in pieces of bounded size; the format is detected by the blob's first bytes.

gzip (RFC 1952) of several members; Zstandard (RFC 8878) of several frames, skippable frames among them.
"""

import os
import zlib
from collections.abc import Iterator
from io import BufferedIOBase

from shoal.errors import InvalidInput

PIECE = 1 << 20
"""No piece has more bytes, however well they were compressed."""

MIN_READ, MAX_READ = 4 << 10, 256 << 10
"""Input per call of the decompressor. It copies what follows the end of a member or frame: the first reads are small,
so that many tiny members cost no more than their bytes.
"""

TRUNCATED = "the layer is truncated"
_GZIP = b"\x1f\x8b"
_ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16)))
"""A frame, and a skippable frame."""


def inflated(blob: BufferedIOBase) -> Iterator[bytes]:
    """The decompressed blob in pieces; the blob's own bytes if it is not compressed.

    Raises:
        InvalidInput: the compressed data is corrupt, or needs more memory than the limit.
    """
    magic = _magic(blob)
    if magic.startswith(_GZIP):
        return _gzip(blob)
    if magic in _ZSTD:
        from agent.images.layers.inflate_zstd import inflated_zstd

        return inflated_zstd(blob)
    return iter(lambda: blob.read(PIECE), b"")


def is_zstd(blob: BufferedIOBase) -> bool:
    """Whether `inflated` needs `inflate_zstd` for a blob; that module is slow to load."""
    return _magic(blob) in _ZSTD


def _magic(blob: BufferedIOBase) -> bytes:
    magic = blob.read(4)
    blob.seek(0)
    return magic


def _gzip(blob: BufferedIOBase) -> Iterator[bytes]:
    try:
        while _skip_zeros(blob):
            member, size = zlib.decompressobj(wbits=31), MIN_READ
            while not member.eof:
                compressed = member.unconsumed_tail or blob.read(size)
                size = min(2 * size, MAX_READ)
                piece = member.decompress(compressed, PIECE)
                if not compressed and not piece and not member.eof:
                    raise InvalidInput(TRUNCATED)
                yield piece
            blob.seek(-len(member.unused_data), os.SEEK_CUR)
    except zlib.error as error:
        raise InvalidInput(f"the layer's compressed data is corrupt: {error}") from error


def _skip_zeros(blob: BufferedIOBase) -> bool:
    """Members may be followed by zeros as padding. Returns whether another member follows."""
    while chunk := blob.read(MIN_READ):
        if rest := chunk.lstrip(b"\0"):
            blob.seek(-len(rest), os.SEEK_CUR)
            return True
    return False
