"""How many parts an encoded message has, without parsing it. Pure.

The form: https://protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterator

_LENGTH_DELIMITED = 2
_FIXED_BYTES = {1: 8, 5: 4}
_VARINT = 0


def parts(encoded: bytes, most: int) -> int:
    """Fields of the messages that are fields of this one: entries of its lists, one level down. Counts to `most` + 1.

    Of bytes that are no message, as many as can be read.
    """
    number = 0
    for start, end in _nested(encoded, 0, len(encoded)):
        for _ in _nested(encoded, start, end):
            number += 1
            if number > most:
                return number
    return number


def _nested(encoded: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Beginning and end of each length-delimited field between two places."""
    while at < end:
        tag, at = _varint(encoded, at, end)
        kind = tag & 7
        if kind == _LENGTH_DELIMITED:
            length, at = _varint(encoded, at, end)
            if at + length > end:
                return
            yield at, at + length
            at += length
        elif kind == _VARINT:
            _, at = _varint(encoded, at, end)
        elif kind in _FIXED_BYTES:
            at += _FIXED_BYTES[kind]
        else:
            return


def _varint(encoded: bytes, at: int, end: int) -> tuple[int, int]:
    """The number that begins there, and where it ends; at the end of all when it is cut."""
    value = shift = 0
    while at < end and shift < 64:
        byte = encoded[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, end
