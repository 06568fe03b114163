"""A root file system and its settings to an OCI archive: the same input gives the same digests anywhere.

OCI image-spec v1.1: layer.md, config.md, image-layout.md.
"""

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Platform,
)
from shoal.images.json_bytes import to_bytes

_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class PackedLayer:
    """A layer's blob and the digest of the tar in it."""

    blob: bytes
    diff_id: str


@dataclass(frozen=True)
class PackedImage:
    """An image for one platform; `blobs` by digest hold all that it consists of, the manifest as well."""

    platform: Platform
    manifest: Descriptor
    blobs: Mapping[str, bytes]


def pack_layer(root: Path, *, compression: int = 9) -> PackedLayer:
    """The files below a directory as a layer: sorted, owned by root, of the year 1970; modes and links kept.

    Args:
        compression: gzip's level, 1 (ten times as fast) to 9 (smallest).
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in _walk(root):
            _add(tar, root, path)
    content = buffer.getvalue()
    return PackedLayer(gzip.compress(content, compression, mtime=0), digest_of(content))


def pack_image(layers: Sequence[PackedLayer], settings: Mapping[str, object], platform: Platform) -> PackedImage:
    """An image of layers, lowest first, and the `config` object of its configuration."""
    config = to_bytes(
        {
            "architecture": platform.architecture,
            "os": platform.os,
            **({"variant": platform.variant} if platform.variant else {}),
            "created": "1970-01-01T00:00:00Z",
            "config": dict(settings),
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": "1970-01-01T00:00:00Z"} for _ in layers],
        }
    )
    manifest = to_bytes(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _describe(OCI_CONFIG, config).to_json(),
            "layers": [_describe(OCI_LAYER_GZIP, layer.blob).to_json() for layer in layers],
        }
    )
    blobs = {digest_of(content): content for content in (*(layer.blob for layer in layers), config, manifest)}
    return PackedImage(platform, _describe(OCI_MANIFEST, manifest), blobs)


def write_archive(path: Path, images: Sequence[PackedImage], *, tag: str) -> str:
    """An OCI layout of one image, or of an index over several platforms, as a tar; returns the digest of the top."""
    blobs = {digest: content for image in images for digest, content in image.blobs.items()}
    top = _in_index(images[0])
    if len(images) > 1:
        index = to_bytes(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [_in_index(each) for each in images]}
        )
        blobs[digest_of(index)] = index
        top = _describe(OCI_INDEX, index).to_json()
    listing = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{**top, "annotations": {_REF_NAME: tag}}]}
    files = {"blobs/" + digest.replace(":", "/"): content for digest, content in blobs.items()}
    files |= {"oci-layout": to_bytes({"imageLayoutVersion": "1.0.0"}), "index.json": to_bytes(listing)}
    temporary = path.with_name(path.name + ".new")
    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    temporary.replace(path)
    return str(top["digest"])


def _walk(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        names.sort()
        here = Path(directory)
        if here != root:
            yield here
        links = [name for name in names if (here / name).is_symlink()]
        yield from (here / name for name in sorted([*files, *links]))


def _add(tar: tarfile.TarFile, root: Path, path: Path) -> None:
    member = tar.gettarinfo(str(path), arcname=str(path.relative_to(root)))
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = stat.S_IMODE(path.lstat().st_mode)
    if member.isreg():
        with path.open("rb") as file:
            tar.addfile(member, file)
    else:
        tar.addfile(member)


def _describe(media_type: str, content: bytes) -> Descriptor:
    return Descriptor(media_type, digest_of(content), len(content))


def _in_index(image: PackedImage) -> dict[str, object]:
    names = {"os": image.platform.os, "architecture": image.platform.architecture}
    variant = {"variant": image.platform.variant} if image.platform.variant else {}
    return {**image.manifest.to_json(), "platform": {**names, **variant}}
