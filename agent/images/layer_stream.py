"""A layer's tar out of its compressed blob: hashed as it passes, and stopped on demand or before the disk is full."""

import hashlib
import os
import threading
from typing import BinaryIO

from agent.images.inflate import PIECE, inflated
from shoal.errors import Exhausted, Unavailable

_DISK_CHECK_BYTES = 64 << 20


class LayerStream:
    """File-like, for reading forward only. Compressed as `inflate` knows it, or plain tar.

    Args:
        blob: the compressed layer.
        directory_fd: on the file system that is being filled.
        reserve_bytes: what must stay free on it.
        stop: set from another thread to have the next read raise `Unavailable`.
    """

    def __init__(self, blob: BinaryIO, *, directory_fd: int, reserve_bytes: int, stop: threading.Event) -> None:
        self._directory_fd = directory_fd
        self._reserve_bytes = reserve_bytes
        self._stop = stop
        self._hash = hashlib.sha256()
        self._ready = b""
        self._position = 0
        self._checked = -_DISK_CHECK_BYTES
        self._total = 0
        self._pieces = inflated(blob)

    @property
    def digest(self) -> str:
        """The diff id of what was read so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end.

        Raises:
            InvalidInput: the compression is broken. Exhausted: the disk runs full. Unavailable: told to stop.
        """
        pieces, left = [], size
        while left > 0:
            if self._position == len(self._ready) and not self._fill():
                break
            piece = self._ready[self._position : self._position + left]
            self._position += len(piece)
            left -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def drain(self) -> None:
        """Read what follows the tar's end, for the digest's sake."""
        while self.read(PIECE):
            pass

    def _fill(self) -> bool:
        self._ready, self._position = b"", 0
        while not self._ready:
            if self._stop.is_set():
                raise Unavailable("unpacking was stopped")
            if (piece := next(self._pieces, None)) is None:
                return False
            self._ready = piece
        self._hash.update(self._ready)
        self._total += len(self._ready)
        if self._total - self._checked >= _DISK_CHECK_BYTES:
            self._checked = self._total
            self._check_disk()
        return True

    def _check_disk(self) -> None:
        disk = os.fstatvfs(self._directory_fd)
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes:
            raise Exhausted(
                f"less than {self._reserve_bytes >> 20} MiB are free on the disk of the images; free some and try again"
            )
