"""What an image in a repository consists of: its manifests for all platforms or one, and all of their blobs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shoal.distribution.manifests import (
    Descriptor,
    Index,
    Manifest,
    Platform,
    choose_manifest,
    parse_manifest,
)
from shoal.distribution.registry_client import RawManifest, Repository
from shoal.errors import InvalidInput

MAX_MANIFESTS = 128
"""In an index: the largest official images have some 20 platforms and as many attestations."""

MAX_IMAGE_BYTES = 256 << 30
"""Of all blobs of all platforms together."""


@dataclass(frozen=True)
class PlatformManifest:
    """A manifest with its bytes; `platform` as the index has it, None where there is no index."""

    raw: RawManifest
    manifest: Manifest
    platform: Platform | None

    @property
    def is_image(self) -> bool:
        """Whether it is for a platform: attestations are not."""
        return self.platform is None or self.platform.os != "unknown"


@dataclass(frozen=True)
class ImageContents:
    """An image.

    Attributes:
        top: the index, or the one manifest.
        manifests: those of the index in its order, or `top` alone.
    """

    top: RawManifest
    manifests: tuple[PlatformManifest, ...]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Configurations and layers, each once."""
        return tuple({each.digest: each for each in _blobs(self.manifests)}.values())

    @property
    def is_index(self) -> bool:
        """Whether there is an index above the manifests."""
        return all(each.raw is not self.top for each in self.manifests)


async def read_contents(repository: Repository, target: str, platform: Platform | None = None) -> ImageContents:
    """The contents of a tag's or a digest's image.

    Args:
        platform: only the manifest that fits it best, as an image of its own, without the index.
    Raises:
        NotFound: no such image, or none for the platform.
        InvalidInput: it is broken, or larger than is allowed.
        Unauthenticated, PermissionDenied, Unavailable: as the registry answers.
    """
    top = await repository.manifest(target)
    parsed = parse_manifest(top.content, top.media_type)
    if isinstance(parsed, Index) and platform is not None:
        top = await repository.manifest(choose_manifest(parsed, platform).digest)
        parsed = parse_manifest(top.content, top.media_type)
    if isinstance(parsed, Manifest):
        return _bounded(repository, ImageContents(top, (PlatformManifest(top, parsed, None),)))
    if not 0 < len(parsed.manifests) <= MAX_MANIFESTS:
        raise InvalidInput(
            f"{repository.name}: the index has {len(parsed.manifests)} manifests; 1 to {MAX_MANIFESTS} are supported"
        )
    return _bounded(repository, ImageContents(top, await _manifests(repository, parsed.manifests)))


def media_type_of(raw: RawManifest) -> str:
    """The document's own word, which a registry compares with the header; else what its registry called it."""
    return str(json.loads(raw.content).get("mediaType") or raw.media_type)


async def _manifests(repository: Repository, listed: Sequence[Descriptor]) -> tuple[PlatformManifest, ...]:
    found = []
    for each in listed:
        raw = await repository.manifest(each.digest)
        parsed = parse_manifest(raw.content, raw.media_type or each.media_type)
        if isinstance(parsed, Index):
            raise InvalidInput(f"{repository.name}: nested image indexes are not supported")
        found.append(PlatformManifest(raw, parsed, each.platform))
    return tuple(found)


def _bounded(repository: Repository, contents: ImageContents) -> ImageContents:
    size = sum(each.size for each in contents.blobs)
    if size > MAX_IMAGE_BYTES:
        raise InvalidInput(
            f"{repository.name}: the image has {size} bytes; the maximum is {MAX_IMAGE_BYTES}; "
            "choose one platform with --platform"
        )
    return contents


def _blobs(manifests: Sequence[PlatformManifest]) -> Iterator[Descriptor]:
    for each in manifests:
        yield each.manifest.config
        yield from each.manifest.layers
