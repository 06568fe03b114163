"""Pieces as they come, read as a file is."""

from collections.abc import Iterable


class PieceReader:
    """Reads exactly as much as is asked for, but at the end; no more than a piece is held."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = memoryview(b"")

    def read(self, size: int) -> bytes:
        """The next bytes, fewer only at the end."""
        if size <= len(self._buffer):
            found, self._buffer = self._buffer[:size], self._buffer[size:]
            return bytes(found)
        found_pieces = [bytes(self._buffer)]
        left, self._buffer = size - len(self._buffer), memoryview(b"")
        while left and (piece := next(self._pieces, None)) is not None:
            view = memoryview(piece)
            found_pieces.append(bytes(view[:left]))
            self._buffer, left = view[left:], max(0, left - len(view))
        return b"".join(found_pieces)
