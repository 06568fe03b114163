"""What a container has changed as a layer: a compressed file with its digests."""

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from agent.archives.disk_budget import DiskBudget
from agent.archives.tar_stream import archive_layer
from shoal.distribution.manifests import OCI_LAYER, Descriptor
from shoal.errors import Unavailable
from shoal.images.stream_compressor import stream_compressor

MEDIA_TYPE = f"{OCI_LAYER}+zstd"
_END_BYTES = 1024
"""Of an archive without entries."""


@dataclass(frozen=True)
class LayerFile:
    """A layer on the disk.

    Attributes:
        blob: as it is pushed.
        diff_id: digest of the uncompressed tar.
        is_empty: it changes nothing.
    """

    blob: Descriptor
    diff_id: str
    is_empty: bool


def write_layer(upper: Path, path: Path, disk: DiskBudget, stop: threading.Event) -> LayerFile:
    """Write the layer of an upper directory to a new file. Blocking, in pieces of bounded size.

    Args:
        stop: set it to give up.
    Raises:
        Exhausted: the disk is filling up. Unavailable: it was given up. OSError: the disk failed.
        InvalidInput: a name cannot be in a layer.
    """
    packer = stream_compressor("zstd")
    plain, packed, plain_bytes, size = hashlib.sha256(), hashlib.sha256(), 0, 0
    directory = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with path.open("xb") as file:

            def write(piece: bytes) -> int:
                disk.add_bytes(len(piece))
                packed.update(piece)
                return file.write(piece)

            for chunk in archive_layer(directory):
                if stop.is_set():
                    raise Unavailable("the call was cancelled")
                plain.update(chunk)
                plain_bytes += len(chunk)
                size += write(packer.compress(chunk))
            size += write(packer.flush())
    finally:
        os.close(directory)
    blob = Descriptor(MEDIA_TYPE, f"sha256:{packed.hexdigest()}", size)
    return LayerFile(blob, f"sha256:{plain.hexdigest()}", plain_bytes == _END_BYTES)
