"""A layer as it is stored: its tar, compressed into a file, with its digest. Blocking."""

import hashlib
import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from agent.archives.disk_budget import DiskBudget
from agent.build.program.publication.layer_digest import layer_digest
from shoal.distribution.manifests import OCI_LAYER, OCI_LAYER_GZIP, Descriptor
from shoal.errors import Unavailable

if TYPE_CHECKING:  # it loads zstd, which takes long
    from shoal.images.stream_compressor import StreamCompressor

_GZIP_LEVEL, _ZSTD_LEVEL = 1, 3
_WAITING = 4
"""Chunks that wait for the compressor: what makes them is no faster than that."""
OCI_LAYER_ZSTD = f"{OCI_LAYER}+zstd"


@dataclass(frozen=True)
class Compression:
    """How new layers are compressed. Attributes: kind: "gzip" or "zstd". level: 0: the default."""

    kind: str = "gzip"
    level: int = 0

    @property
    def media_type(self) -> str:
        return OCI_LAYER_ZSTD if self.kind == "zstd" else OCI_LAYER_GZIP

    def packer(self) -> "StreamCompressor":
        """A new one. Raises InvalidInput: there is no such level."""
        if self.kind == "zstd":
            from agent.build.program.publication.zstd_packer import zstd_packer

            return zstd_packer(self.level or _ZSTD_LEVEL)
        from agent.build.program.publication.gzip_packer import gzip_packer

        return gzip_packer(self.level or _GZIP_LEVEL)


@dataclass(frozen=True)
class LayerBlob:
    """A compressed layer on the disk."""

    descriptor: Descriptor
    path: Path


class BlobWriter:
    """Compresses a stream into a new file, in a thread of its own, beside whatever makes the stream. A context manager.

    The same stream gives the same bytes on processors of one generation.
    """

    def __init__(self, path: Path, compression: Compression, disk: DiskBudget) -> None:
        self._path = path
        self._compression = compression
        self._disk = disk
        self._packer = compression.packer()
        self._chunks: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._error: Exception | None = None
        self._digest, self._size = hashlib.sha256(), 0
        self._thread = threading.Thread(target=self._run, name="compress a layer", daemon=True)

    def __enter__(self) -> "BlobWriter":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def write(self, chunk: bytes) -> None:
        """Further bytes. Raises Exhausted: the disk is filling up; OSError: it failed."""
        if self._error is not None:
            raise self._error
        self._chunks.put(chunk)

    def finish(self) -> LayerBlob:
        """The blob. Raises as `write`."""
        self._end()
        if self._error is not None:
            raise self._error
        descriptor = Descriptor(self._compression.media_type, f"sha256:{self._digest.hexdigest()}", self._size)
        return LayerBlob(descriptor, self._path)

    def _end(self) -> None:
        if self._thread.is_alive():
            self._chunks.put(None)
            self._thread.join()

    def _run(self) -> None:
        try:
            with self._path.open("xb") as file:
                self._pack(file)
        except Exception as error:  # raised to whoever writes
            self._error = error
            while self._chunks.get() is not None:  # whoever writes must not wait for ever
                continue

    def _pack(self, file: BinaryIO) -> None:
        while (chunk := self._chunks.get()) is not None:
            self._write(file, self._packer.compress(chunk))
        try:
            self._write(file, self._packer.flush())
        except Exception as error:
            self._error = error

    def _write(self, file: BinaryIO, piece: bytes) -> None:
        self._disk.add_bytes(len(piece))
        self._digest.update(piece)
        self._size += len(piece)
        file.write(piece)


def write_blob(
    upper: Path, diff_id: str, path: Path, compression: Compression, disk: DiskBudget, stop: threading.Event
) -> LayerBlob:
    """Compress a layer's directory into a new file.

    Raises:
        Unavailable: it was stopped, or the directory has changed since its diff ID was computed.
        Exhausted: the disk is filling up. OSError: it failed.
    """
    with BlobWriter(path, compression, disk) as writer:
        found, _ = layer_digest(upper, None, stop, writer.write)
        blob = writer.finish()
    if found != diff_id:
        raise Unavailable(f"layer {diff_id} was changed while it was built")
    return blob
