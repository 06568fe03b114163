"""A layer's tar out of its compressed blob: hashed as it passes, bounded, and stopped on demand."""

import hashlib
import os
import threading
import zlib
from typing import BinaryIO

from shoal.errors import Exhausted, InvalidInput, Unavailable

_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_CHUNK = 1 << 20
_DISK_CHECK_BYTES = 64 << 20


class LayerStream:
    """File-like, for reading forward only. Gzip (of several members as well) or plain tar.

    Args:
        blob: the compressed layer.
        directory_fd: on the file system that is being filled.
        reserve_bytes: what must stay free on it.
        stop: set from another thread to have the next read raise `Unavailable`.
    """

    def __init__(self, blob: BinaryIO, *, directory_fd: int, reserve_bytes: int, stop: threading.Event) -> None:
        self._blob = blob
        self._directory_fd = directory_fd
        self._reserve_bytes = reserve_bytes
        self._stop = stop
        self._hash = hashlib.sha256()
        self._ready = b""
        self._position = 0
        self._checked = -_DISK_CHECK_BYTES
        self._total = 0
        self._inflate = self._decompressor()

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
        while self.read(_CHUNK):
            pass

    def _fill(self) -> bool:
        if self._stop.is_set():
            raise Unavailable("unpacking was stopped")
        self._ready, self._position = self._next(), 0
        self._hash.update(self._ready)
        self._total += len(self._ready)
        if self._total - self._checked >= _DISK_CHECK_BYTES:
            self._checked = self._total
            self._check_disk()
        return bool(self._ready)

    def _next(self) -> bytes:
        if self._inflate is None:
            return self._blob.read(_CHUNK)
        try:
            return self._inflated()
        except zlib.error as error:
            raise InvalidInput(f"the layer's compression is broken: {error}") from error

    def _inflated(self) -> bytes:
        """At most a chunk, however well it was compressed."""
        assert self._inflate is not None
        while True:
            if self._inflate.eof:
                rest = self._inflate.unused_data or self._blob.read(_CHUNK)
                if not rest.strip(b"\0"):
                    return b""
                self._inflate = zlib.decompressobj(wbits=31)
                found = self._inflate.decompress(rest, _CHUNK)
            else:
                compressed = self._inflate.unconsumed_tail or self._blob.read(_CHUNK // 4)
                found = self._inflate.decompress(compressed, _CHUNK)
                if not compressed and not found and not self._inflate.eof:
                    raise InvalidInput("the layer's compression is broken: it ends too early")
            if found:
                return found

    def _decompressor(self) -> "zlib._Decompress | None":
        magic = self._blob.read(4)
        self._blob.seek(0)
        if magic == _ZSTD_MAGIC:
            raise InvalidInput("the layer is compressed with zstd, which is not supported; push the image with gzip")
        return zlib.decompressobj(wbits=31) if magic.startswith(_GZIP_MAGIC) else None

    def _check_disk(self) -> None:
        disk = os.fstatvfs(self._directory_fd)
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes:
            raise Exhausted(
                f"less than {self._reserve_bytes >> 20} MiB are free on the disk of the images; free some and try again"
            )
