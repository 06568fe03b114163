"""Headers of tar archives: one block of 512 bytes, and the records of a PAX extended header. Pure.

POSIX.1-2024, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar's manual, "Basic Tar Format", for
numbers in base 256 and for the fields that its format has in the place of the prefix. Python's `tarfile` reads the
same archives, but recurses for each extended header and keeps, and copies, their contents without a limit.
"""

import struct
from collections.abc import Iterator

from shoal.errors import InvalidInput

BLOCK = 512

REGULAR, OLD_REGULAR, CONTIGUOUS = b"0", b"\0", b"7"
HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"1", b"2", b"3", b"4", b"5", b"6"
PAX, PAX_SOLARIS, PAX_GLOBAL, GNU_LONG_NAME, GNU_LONG_LINK = b"x", b"X", b"g", b"L", b"K"
GNU_SPARSE = b"S"
EXTENDED = frozenset((PAX, PAX_SOLARIS, PAX_GLOBAL, GNU_LONG_NAME, GNU_LONG_LINK))
WITH_CONTENT = frozenset((REGULAR, OLD_REGULAR, CONTIGUOUS)) | EXTENDED

MAX_SIZE = (1 << 63) - 1
"""Bytes: no file system has larger files."""

_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_CHECKSUM = slice(148, 156)
_EMPTY = bytes(BLOCK)
_MAX_DIGITS = 20  # of a decimal number below 2**64
_NS = 1_000_000_000


class Header:
    """One entry's header. `kind` is its type flag; `mtime_ns` since 1970."""

    __slots__ = ("device", "gid", "kind", "link", "mode", "mtime_ns", "name", "size", "uid")

    def __init__(
        self,
        name: bytes,
        kind: bytes,
        mode: int,
        uid: int,
        gid: int,
        size: int,
        mtime_ns: int,
        link: bytes,
        device: tuple[int, int],
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.mtime_ns = mtime_ns
        self.link = link
        self.device = device


def parse_header(block: bytes) -> Header | None:
    """The header in a block; None if the block is empty, which ends the archive.

    Raises:
        InvalidInput: it is not a header.
    """
    if block == _EMPTY:
        return None
    if len(block) != BLOCK:
        raise InvalidInput("the layer is not a valid tar archive: truncated header")
    name, mode, uid, gid, size, mtime, checksum, kind, link, magic, _, _, major, minor, prefix = _FIELDS.unpack(block)
    if not _checks(block, _number(checksum, "checksum")):
        raise InvalidInput("the layer is not a valid tar archive: wrong header checksum")
    return Header(
        _with_prefix(_text(name), magic, prefix),
        kind,
        _number(mode, "mode"),
        _number(uid, "owner"),
        _number(gid, "group"),
        _size(_number(size, "size")),
        _number(mtime, "time") * _NS,
        _text(link),
        (_number(major, "device"), _number(minor, "device")) if kind in (CHARACTER, BLOCK_DEVICE) else (0, 0),
    )


def parse_records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a PAX extended header: `<length> <key>=<value>` and a newline, the length that of the record.

    Raises:
        InvalidInput: corrupt.
    """
    position, end = 0, len(content)
    while position < end and content[position]:
        blank = content.find(b" ", position, position + _MAX_DIGITS)
        length = content[position:blank] if blank > 0 else b""
        after = position + int(length) if length.isdigit() else 0
        equals = content.find(b"=", blank, after)
        if after > end or equals < 0 or content[after - 1 : after] != b"\n":
            raise InvalidInput("the layer is not a valid tar archive: corrupt extended header")
        yield content[blank + 1 : equals], content[equals + 1 : after - 1]
        position = after


def parse_decimal(value: bytes, what: str) -> int:
    """A number in a PAX record.

    Raises:
        InvalidInput: it is not a number.
    """
    if not value.removeprefix(b"-").isdigit() or len(value) > _MAX_DIGITS:
        raise InvalidInput(f"the layer is not a valid tar archive: the {what} in an extended header is not a number")
    return int(value)


def parse_size(value: bytes) -> int:
    """A size in a PAX record. Raises as `parse_decimal` does."""
    return _size(parse_decimal(value, "size"))


def parse_time(value: bytes) -> int:
    """Nanoseconds of a time in a PAX record, in seconds with a fraction. Raises as `parse_decimal` does."""
    whole, _, fraction = value.partition(b".")
    digits = fraction[:9].ljust(9, b"0")
    seconds = parse_decimal(whole, "time")
    nanoseconds = parse_decimal(digits, "time")
    return seconds * _NS + (-nanoseconds if whole.startswith(b"-") else nanoseconds)


def _checks(block: bytes, expected: int) -> bool:
    """Old archives summed the bytes as signed values."""
    counted = block[: _CHECKSUM.start] + b" " * 8 + block[_CHECKSUM.stop :]
    total = sum(counted)
    return total == expected or total - 256 * sum(byte > 127 for byte in counted) == expected


def _with_prefix(name: bytes, magic: bytes, prefix: bytes) -> bytes:
    """GNU's format stores times in place of the prefix."""
    before = _text(prefix) if magic == b"ustar\x0000" else b""
    return before + b"/" + name if before else name


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _size(size: int) -> int:
    if not 0 <= size <= MAX_SIZE:
        raise InvalidInput(f"the layer has an entry of invalid size ({size} bytes)")
    return size


def _number(field: bytes, what: str) -> int:
    """Octal digits, or GNU's base 256 where the first bit is set: two's complement without that bit."""
    if field[0] & 0x80:
        return int.from_bytes(bytes((field[0] & 0x7F if field[0] < 0xFF else 0xFF,)) + field[1:], "big", signed=True)
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise InvalidInput(f"the layer is not a valid tar archive: the {what} in a header is not a number")
    return int(digits, 8)
