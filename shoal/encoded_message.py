"""Messages as they lie on the wire, which servers send as they are. Pure."""


class EncodedMessage:
    """Stands for a message that need not be built, as its bytes are there.

    Attributes:
        encoded: what the message would be serialized to.
    """

    __slots__ = ("encoded",)

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded


def field_head(number: int, size: int) -> bytes:
    """What stands before a string, bytes or a message: a field up to 15, of `size` bytes."""
    head = bytearray((number << 3 | 2,))
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)


def field_range(encoded: bytes, begin: int, number: int) -> tuple[int, int]:
    """Where the contents of such a field begin and end, whose head is at `begin`.

    Raises:
        ValueError: another field is there, or it is longer than the message.
    """
    if encoded[begin : begin + 1] != bytes((number << 3 | 2,)):
        raise ValueError(f"no field {number}")
    size = 0
    for place, byte in enumerate(encoded[begin + 1 : begin + 6]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            first = begin + 2 + place
            if first + size > len(encoded):
                break
            return first, first + size
    raise ValueError(f"field {number} has no end")
