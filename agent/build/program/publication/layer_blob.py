"""A layer as it is stored: its tar, compressed into a file, with its digest. Blocking."""

import hashlib
import os
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.archives.disk_budget import DiskBudget
from agent.archives.tar_stream import archive_layer
from shoal.distribution.manifests import OCI_LAYER, OCI_LAYER_GZIP, Descriptor
from shoal.errors import Unavailable

if TYPE_CHECKING:  # it loads zstd, which takes long
    from shoal.images.stream_compressor import StreamCompressor

_GZIP = 31
_GZIP_LEVEL, _ZSTD_LEVEL = 1, 3
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
        return zlib.compressobj(min(self.level or _GZIP_LEVEL, 9), wbits=_GZIP)


@dataclass(frozen=True)
class LayerBlob:
    """A compressed layer on the disk."""

    descriptor: Descriptor
    path: Path


def write_blob(
    upper: Path, diff_id: str, path: Path, compression: Compression, disk: DiskBudget, stop: threading.Event
) -> LayerBlob:
    """Compress a layer's directory into a new file. The same layer gives the same bytes.

    Raises:
        Unavailable: it was stopped, or the directory has changed since its diff ID was computed.
        Exhausted: the disk is filling up. OSError: it failed.
    """
    packer = compression.packer()
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    directory = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with path.open("xb") as file:
            for chunk in archive_layer(directory):
                if stop.is_set():
                    raise Unavailable("the build was stopped")
                plain.update(chunk)
                size += _write(file, packer.compress(chunk), packed, disk)
            size += _write(file, packer.flush(), packed, disk)
    finally:
        os.close(directory)
    if f"sha256:{plain.hexdigest()}" != diff_id:
        raise Unavailable(f"layer {diff_id} was changed while it was built")
    return LayerBlob(Descriptor(compression.media_type, f"sha256:{packed.hexdigest()}", size), path)


def _write(file: object, piece: bytes, packed: "hashlib._Hash", disk: DiskBudget) -> int:
    disk.add_bytes(len(piece))
    packed.update(piece)
    return int(file.write(piece))  # type: ignore[attr-defined]
