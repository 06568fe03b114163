"""The content of a regular file out of an archive that has nothing but it, as the archive comes. Pure."""

from shoal.errors import Conflict, InvalidInput
from shoal.tar.tar_header import BLOCK, EXTENDED, WITH_CONTENT, parse_header, parse_records, parse_size

MAX_EXTENDED = 1 << 20
"""Bytes of an extended header: what a container's file may have as attributes."""


class SingleFile:
    """Takes bytes of the archive and returns those of the file.

    Args:
        size: bytes that the file was announced to have.
    Attributes:
        complete: the whole file was returned.
    """

    def __init__(self, size: int) -> None:
        self._announced = size
        self._pending = b""
        self._extended = -1
        """Bytes of the extended header that is being read; -1: none."""
        self._size: int | None = None
        """Of an extended header, in place of the one in the file's own."""
        self._left = -1
        """Bytes of the file that have not come; -1: its header has not."""

    @property
    def complete(self) -> bool:
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        """The next bytes of the file.

        Raises:
            InvalidInput: it is no archive, or the entry is no regular file.
            Conflict: the file has another size by now.
        """
        if self._left < 0:
            self._pending += data
            while self._left < 0 and self._advance():
                pass
            data, self._pending = (self._pending, b"") if self._left >= 0 else (b"", self._pending)
        found = data[: max(0, self._left)]
        self._left -= len(found)
        return found

    def _advance(self) -> bool:
        """Read one header, or the content of an extended one; False: more bytes are needed."""
        needed = BLOCK if self._extended < 0 else self._extended + -self._extended % BLOCK
        if len(self._pending) < needed:
            return False
        block, self._pending = self._pending[:needed], self._pending[needed:]
        if self._extended >= 0:
            records = dict(parse_records(block[: self._extended]))
            self._size, self._extended = parse_size(records[b"size"]) if b"size" in records else self._size, -1
            return True
        header = parse_header(block)
        if header is None or header.kind not in WITH_CONTENT:
            raise InvalidInput("it is not a regular file")
        if header.kind not in EXTENDED:
            self._left = header.size if self._size is None else self._size
            if self._left != self._announced:
                raise Conflict("the file was changed while it was read")
        elif header.size > MAX_EXTENDED:
            raise InvalidInput(f"extended header too large ({header.size:,} bytes); the maximum is {MAX_EXTENDED:,}")
        else:
            self._extended = header.size
        return True
