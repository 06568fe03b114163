"""The digest of content that is read in order, but of which a part may be read again after a failure. Pure."""

import hashlib

from shoal.errors import InvalidInput


class PiecewiseDigest:
    """Verifies content against its digest although pieces of it are read several times.

    The state at each place from which was read is kept, and the last bytes: a reader that cuts a piece in two goes on
    in its middle.
    """

    def __init__(self, expected: str, size: int) -> None:
        self.expected = expected
        self._size = size
        self._hash = hashlib.new(expected.partition(":")[0])
        self._position = 0
        self._starts = {0: self._hash.copy()}
        self._last = (0, self._hash.copy(), b"")

    def seek(self, offset: int) -> None:
        """Go on from an offset.

        Raises:
            InvalidInput: it was neither read from nor up to.
        """
        start, state, piece = self._last
        if offset in self._starts:
            self._hash = self._starts[offset].copy()
        elif start <= offset <= start + len(piece):
            self._hash = state.copy()
            self._hash.update(piece[: offset - start])
        else:
            raise InvalidInput(f"content of {self.expected} cannot be read on from byte {offset}")
        self._position = offset
        self._starts[offset] = self._hash.copy()
        self._last = (offset, self._hash.copy(), b"")

    def update(self, piece: bytes) -> None:
        """Take the next bytes; with the last ones all are verified.

        Raises:
            InvalidInput: there are more than announced, or they are not what the digest names.
        """
        self._last = (self._position, self._hash.copy(), piece)
        self._hash.update(piece)
        self._position += len(piece)
        if self._position > self._size:
            raise InvalidInput(f"content of {self.expected} is longer than the {self._size} bytes announced")
        if self._position == self._size:
            found = f"{self.expected.partition(':')[0]}:{self._hash.hexdigest()}"
            if found != self.expected:
                raise InvalidInput(f"content is corrupt: digest {found} where {self.expected} was expected")
