"""Puts the images of an archive into the cluster's image repository. Imports httpx: import this module at first use."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.image_config import layers_by_diff_id, parse_config
from shoal.distribution.manifests import (
    OCI_LAYER,
    Descriptor,
    Index,
    Manifest,
    Platform,
    choose_manifest,
    parse_manifest,
)
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.images.archive import ArchivedImages
from shoal.images.compress import Compressor
from shoal.images.image_record import MAX_CONFIG_BYTES
from shoal.images.image_repository import ImageRepository
from shoal.images.progress import Progress
from shoal.images.repository_name import record_name
from shoal.images.stream_compressor import Compression
from shoal.images.upload import Upload


async def load(
    images: ArchivedImages,
    repository: ImageRepository,
    progress: Progress,
    *,
    platform: Platform | None = None,
    compression: Compression = "gzip",
) -> list[Image]:
    """Put all images of an archive there; one record for each name, and one without a name for an image without.

    Args:
        platform: of an index, that manifest alone.
        compression: of layers that are plain tars.
    Raises:
        InvalidInput: the archive has no image, or one whose parts do not fit together.
        NotFound: the archive is incomplete, or has none for the platform. Exhausted: no room for what is compressed.
        Unauthenticated, PermissionDenied, Unavailable: as the registry answers.
    """
    if not images.images:
        raise InvalidInput(f"{images.source}: the archive has no images")
    records: list[Image] = []
    with TemporaryDirectory(prefix="shoal-load-") as scratch:
        upload = Upload(
            images, repository.repository, Compressor(images, Path(scratch), compression, progress), progress
        )
        for digest, names in _names_by_digest(images).items():
            found = next(each for each in images.images if each.digest == digest)
            top = _chosen(images, found, platform)
            pushed = await upload.manifest(top)
            records += [await repository.adopt(pushed.digest, name) for name in names]
    return records


def _names_by_digest(images: ArchivedImages) -> dict[str, Sequence[str]]:
    """Whole names; a tag alone, which OCI layouts may have, names nothing."""
    found: dict[str, list[str]] = {}
    for each in images.images:
        named = record_name(parse(each.name)) if ":" in each.name or "/" in each.name else ""
        found.setdefault(each.digest, []).append(named)
    return {digest: [name for name in dict.fromkeys(names) if name] or [""] for digest, names in found.items()}


def _chosen(images: ArchivedImages, top: Descriptor, platform: Platform | None) -> Descriptor:
    """The manifest or index to upload, once what is in it was checked."""
    parsed = parse_manifest(images.manifest(top.digest), top.media_type)
    if isinstance(parsed, Index):
        if platform is not None:
            return _chosen(images, choose_manifest(parsed, platform), None)
        for each in parsed.manifests:
            _check(images, each)
    else:
        _check_manifest(images, parsed)
    return top


def _check(images: ArchivedImages, entry: Descriptor) -> None:
    parsed = parse_manifest(images.manifest(entry.digest), entry.media_type)
    if isinstance(parsed, Index):
        raise InvalidInput(f"{images.source}: nested image indexes are not supported")
    if entry.platform is None or entry.platform.os != "unknown":
        _check_manifest(images, parsed)


def _check_manifest(images: ArchivedImages, manifest: Manifest) -> None:
    """Its configuration belongs to it: the digest of a plain layer is its diff ID."""
    with images.open_blob(manifest.config.digest) as file:
        content = file.read(MAX_CONFIG_BYTES + 1)
    if len(content) > MAX_CONFIG_BYTES:
        raise InvalidInput(
            f"{images.source}: the image's configuration is too large; the maximum is {MAX_CONFIG_BYTES}"
        )
    diff_ids = parse_config(content).diff_ids
    layers_by_diff_id(manifest, diff_ids)
    for layer, diff_id in zip(manifest.layers, diff_ids, strict=True):
        if layer.media_type == OCI_LAYER and layer.digest != diff_id:
            raise InvalidInput(f"{images.source}: layer {layer.digest[:19]} is not what the configuration names")
