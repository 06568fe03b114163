"""Frames of the journal's file and of its copy.

A frame is a checksum (CRC-32 of all that follows), the value's length, the name's length, the name, the value; a
value's length of 2^32 - 1 says that the record is removed.
"""

import errno
import os
import struct
import zlib
from collections.abc import Iterator

_CHECKSUM = struct.Struct(">I")
_LENGTHS = struct.Struct(">IH")
_HEAD = _CHECKSUM.size + _LENGTHS.size
_REMOVED = 0xFFFF_FFFF


def frame(name: str, value: bytes | None) -> bytes:
    """One record; None removes it."""
    key = name.encode()
    rest = _LENGTHS.pack(_REMOVED if value is None else len(value), len(key)) + key + (value or b"")
    return _CHECKSUM.pack(zlib.crc32(rest)) + rest


def frames(data: bytes) -> Iterator[tuple[str, bytes | None, int]]:
    """Name, value and size of each whole frame, in order; what is damaged between them is left out."""
    at = 0
    while at + _HEAD <= len(data):
        found = _frame_at(data, at)
        if found is None:
            at += 1
        else:
            yield found
            at += found[2]


def _frame_at(data: bytes, at: int) -> tuple[str, bytes | None, int] | None:
    (checksum,) = _CHECKSUM.unpack_from(data, at)
    length, key_length = _LENGTHS.unpack_from(data, at + _CHECKSUM.size)
    key_end = at + _HEAD + key_length
    end = key_end if length == _REMOVED else key_end + length
    # Zeros, which a power loss may leave, have a valid checksum but no name.
    if not key_length or end > len(data) or zlib.crc32(memoryview(data)[at + _CHECKSUM.size : end]) != checksum:
        return None
    return data[at + _HEAD : key_end].decode(), None if length == _REMOVED else data[key_end:end], end - at


def write_all(descriptor: int, data: bytes) -> None:
    """In one write(2). Raises OSError: also where only a part was written."""
    if os.write(descriptor, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
