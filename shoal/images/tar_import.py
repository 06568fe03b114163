"""A tar of a root file system as an image of one layer (`import`)."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, Platform
from shoal.errors import InvalidInput, NotFound
from shoal.images.archive import ArchivedImages
from shoal.images.archive_files import ArchiveFiles, Part
from shoal.images.config_changes import apply_changes
from shoal.images.json_bytes import digest_of_stream, to_bytes
from shoal.images.tar_index import IndexedFile, read_index

_CONFIG, _LAYER = "config.json", "layer.tar"
_SHOWN = 3


@dataclass(frozen=True)
class ImportSettings:
    """What an imported image is to be.

    Attributes:
        name: normalized reference; empty for none.
        changes: instructions of a Dockerfile.
        allow_devices: whether the archive may have nodes of devices.
    """

    platform: Platform
    created: datetime
    name: str = ""
    changes: Sequence[str] = ()
    message: str = ""
    allow_devices: bool = False


def imported_image(file: BinaryIO, source: str, settings: ImportSettings) -> ArchivedImages:
    """An image whose one layer is the archive as it is; nothing is unpacked.

    Args:
        file: an uncompressed tar on disk; stays open as long as the image is read.
        source: for errors: its path, or "-".
    Raises:
        InvalidInput: it is no tar archive, has names that lead out of it, sparse files, or devices where none are
            allowed; or a change is invalid.
    """
    size = os.fstat(file.fileno()).st_size
    try:
        _check_entries(file, size, allow_devices=settings.allow_devices)
    except InvalidInput as error:
        raise InvalidInput(f"{source}: {error}") from error
    file.seek(0)
    diff_id, _ = digest_of_stream(file)
    config = to_bytes(_config(settings, diff_id))
    manifest = to_bytes(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor(OCI_CONFIG, digest_of(config), len(config)).to_json(),
            "layers": [Descriptor(OCI_LAYER, diff_id, size).to_json()],
        }
    )
    top = Descriptor(OCI_MANIFEST, digest_of(manifest), len(manifest), name=settings.name)
    names = {digest_of(config): _CONFIG, diff_id: _LAYER}
    return ArchivedImages(_ImportedFiles(Path(source), file, config), (top,), names, {top.digest: manifest})


def _check_entries(file: BinaryIO, size: int, *, allow_devices: bool) -> None:
    leaving, devices, count = list[str](), list[str](), 0
    for entry in read_index(file, size):
        count += 1
        if entry.leaves_root:
            _note(leaving, entry)
        if entry.is_device and not allow_devices:
            _note(devices, entry)
    if not count:
        raise InvalidInput("the archive is empty")
    if leaving:
        raise InvalidInput(f"the archive has names that lead out of it: {', '.join(leaving)}")
    if devices:
        raise InvalidInput(f"the archive has devices: {', '.join(devices)}; to import them, use --allow-devices")


def _note(found: list[str], entry: IndexedFile) -> None:
    if len(found) < _SHOWN:
        found.append(ascii(entry.name[:100]))


def _config(settings: ImportSettings, diff_id: str) -> dict[str, object]:
    created = settings.created.astimezone(UTC).isoformat().replace("+00:00", "Z")
    platform = settings.platform
    return {
        "architecture": platform.architecture,
        "os": platform.os,
        **({"variant": platform.variant} if platform.variant else {}),
        "created": created,
        "config": apply_changes({}, settings.changes),
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "comment": settings.message}],
    }


class _ImportedFiles(ArchiveFiles):
    """The two blobs of an image that is made of one file."""

    def __init__(self, source: Path, layer: BinaryIO, config: bytes) -> None:
        super().__init__(source)
        self._layer = layer
        self._config = config

    def has(self, name: str) -> bool:
        return name in (_CONFIG, _LAYER)

    def open(self, name: str) -> BinaryIO:
        if name == _CONFIG:
            return io.BytesIO(self._config)
        if name != _LAYER:
            raise NotFound(f"{self.source}: no {name}")
        size = os.fstat(self._layer.fileno()).st_size
        return cast(BinaryIO, io.BufferedReader(Part(self._layer.fileno(), 0, size), 1 << 20))
