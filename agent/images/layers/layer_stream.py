"""Reads a layer's tar from its compressed blob; computes the digest and stops before the disk is full."""

import hashlib
from io import BufferedIOBase

from agent.images.disk_guard import DiskGuard
from agent.images.layers.inflate import inflated
from shoal.tar.budget import BudgetMeter


class LayerStream:
    """Sequential reads only. Compressed in a format of `inflate`, or plain tar.

    Args:
        blob: the compressed layer.
        disk: counts all bytes that are read.
    """

    def __init__(self, blob: BufferedIOBase, disk: DiskGuard) -> None:
        self._disk = disk
        self._hash = hashlib.sha256()
        self._buffer = b""
        self._position = 0
        self._pieces = inflated(blob)

    @property
    def digest(self) -> str:
        """The diff id of the bytes read so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end.

        Raises:
            InvalidInput: the compressed data is corrupt. Exhausted: the disk is filling up.
        """
        begin, end = self._position, self._position + size
        if end <= len(self._buffer):
            self._position = end
            return self._buffer[begin:end]
        pieces = [self._buffer[begin:]]
        left = size - len(pieces[0])
        while left > 0 and self._fill():
            pieces.append(self._buffer[:left])
            self._position = len(pieces[-1])
            left -= len(pieces[-1])
        return b"".join(pieces)

    def drain(self, meter: BudgetMeter) -> None:
        """Read the bytes after the tar's end, which the digest includes. Raises as `read` and `BudgetMeter.add_ignored`
        do."""
        while self._fill():
            meter.add_ignored(len(self._buffer))

    def _fill(self) -> bool:
        self._buffer, self._position = next(filter(None, self._pieces), b""), 0
        self._hash.update(self._buffer)
        self._disk.add_bytes(len(self._buffer))
        return bool(self._buffer)
