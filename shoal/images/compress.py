"""Compression of uncompressed layers before they are pushed.

`docker save` writes layers as plain tars. What unpacks to the same keeps its diff id, so an image's configuration stays
as it is; its manifest names other blobs then. OCI image-spec, layer.md, "+gzip" and "+zstd" media types.
"""

import asyncio
import hashlib
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from shoal.distribution.manifests import OCI_LAYER, OCI_LAYER_GZIP, Descriptor, Manifest
from shoal.errors import Exhausted, InvalidInput
from shoal.images.archive import ArchivedImages
from shoal.images.progress import LayerProgress, LayerState, Progress
from shoal.images.stream_compressor import Compression, stream_compressor
from shoal.task_group import TaskGroup

_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_COMPRESSED_TYPES: dict[tuple[str, str], str] = {
    (OCI_LAYER, "gzip"): OCI_LAYER_GZIP,
    (OCI_LAYER, "zstd"): f"{OCI_LAYER}+zstd",
    (_DOCKER_LAYER, "gzip"): f"{_DOCKER_LAYER}.gzip",
}
_MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
_READ = 1 << 20
_MAX_THREADS = 4


@dataclass(frozen=True)
class CompressedLayer:
    """What goes up in a layer's place, and the file with it."""

    descriptor: Descriptor
    path: Path


class Compressor:
    """Compresses layers into files of a directory, which is the caller's to remove.

    Args:
        progress: called with each layer when it begins.
    """

    def __init__(self, images: ArchivedImages, directory: Path, compression: Compression, progress: Progress) -> None:
        self._images = images
        self._directory = directory
        self._compression = compression
        self._progress = progress
        self._slots = asyncio.Semaphore(min(_MAX_THREADS, os.cpu_count() or 1))
        self._reading = threading.Lock()
        self._done: dict[str, CompressedLayer] = {}

    def file(self, digest: str) -> Path | None:
        """The file of a compressed layer; None for any other blob."""
        return next((each.path for each in self._done.values() if each.descriptor.digest == digest), None)

    async def layers(self, manifest: Manifest) -> dict[str, Descriptor]:
        """For the digest of each layer that was not compressed, what takes its place.

        Raises:
            InvalidInput: a layer is not what its digest names. Exhausted: no room for the files.
        """
        plain = {each.digest: each for each in manifest.layers if self._is_plain(each)}
        stop = threading.Event()
        try:
            async with TaskGroup() as group:
                for each in plain.values():
                    if each.digest not in self._done:
                        group.create_task(self._layer(each, stop))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            stop.set()
        return {digest: self._done[digest].descriptor for digest in plain}

    def _is_plain(self, layer: Descriptor) -> bool:
        compression = self._compression_of(layer)
        if compression == "none" or layer.media_type not in (OCI_LAYER, _DOCKER_LAYER):
            return False
        if (layer.media_type, compression) not in _COMPRESSED_TYPES:
            raise InvalidInput(
                f"layers of media type {layer.media_type} cannot be compressed with {compression}; use gzip"
            )
        with self._images.open_blob(layer.digest) as file:
            return not file.read(4).startswith(_MAGIC)

    def _compression_of(self, layer: Descriptor) -> Compression:
        if self._compression == "fastest":
            return "zstd" if (layer.media_type, "zstd") in _COMPRESSED_TYPES else "gzip"
        return self._compression

    async def _layer(self, layer: Descriptor, stop: threading.Event) -> None:
        async with self._slots:
            self._progress(LayerProgress(layer.digest, LayerState.COMPRESSING, 0, layer.size))
            path = self._directory / layer.digest.replace(":", "-")
            try:
                digest, size = await asyncio.to_thread(self._compress, layer, path, stop)
            except OSError as error:
                raise Exhausted(
                    f"{path}: {error.strerror}; set TMPDIR to a directory with more space, or use --compression none"
                ) from error
            media_type = _COMPRESSED_TYPES[layer.media_type, self._compression_of(layer)]
            changed = replace(layer, media_type=media_type, digest=digest, size=size)
            self._done[layer.digest] = CompressedLayer(changed, path)

    def _compress(self, layer: Descriptor, path: Path, stop: threading.Event) -> tuple[str, int]:
        """Blocking. The same layer gives the same bytes: no time and no name go into them."""
        packer = stream_compressor(self._compression_of(layer), threads=min(_MAX_THREADS, os.cpu_count() or 1))
        found, packed, size = hashlib.sha256(), hashlib.sha256(), 0
        with path.open("xb") as file, self._images.open_blob(layer.digest) as source:
            while not stop.is_set():
                chunk = self._read(source)
                found.update(chunk)
                piece = packer.compress(chunk) if chunk else packer.flush()
                packed.update(piece)
                size += file.write(piece)
                if not chunk:
                    break
        if not stop.is_set() and f"sha256:{found.hexdigest()}" != layer.digest:
            raise InvalidInput(f"{self._images.source}: the content of {layer.digest} is corrupt; recreate it")
        return f"sha256:{packed.hexdigest()}", size

    def _read(self, source: BinaryIO) -> bytes:
        with self._reading:  # members of one archive share its file
            return source.read(_READ)
