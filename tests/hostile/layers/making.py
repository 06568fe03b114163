"""Archives that no honest program writes: headers one by one, with right checksums and whatever else one likes."""

import struct
import sys
from collections.abc import Iterable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
END = bytes(1024)


def header(
    name: bytes, kind: bytes = b"0", *, size: int = 0, link: bytes = b"", device: tuple[int, int] = (0, 0)
) -> bytes:
    """One block."""
    large = b"\x80" + size.to_bytes(11, "big") if size >= 8**11 else b"%011o\0" % size
    numbers = [b"%07o\0" % number for number in device]
    fields = (name, b"0000755\0", b"0000000\0", b"0000000\0", large, b"00000000000\0", b" " * 8, kind, link)
    block = bytearray(_FIELDS.pack(*fields, b"ustar\x0000", b"", b"", *numbers, b""))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    """Content to the end of its last block."""
    return content + bytes(-len(content) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """Of a PAX header: its length counts itself."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """An extended header; of kind `g`, for all that follows."""
    content = b"".join(record(key, value) for key, value in records)
    return header(b"pax", kind, size=len(content)) + padded(content)


def squeezed(parts: Iterable[bytes]) -> bytes:
    """Compressed as well as it goes."""
    compressor = zstd.ZstdCompressor(level=3)
    return b"".join(compressor.compress(part) for part in (*parts, END)) + compressor.flush()
