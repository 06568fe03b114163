"""Images of a repository as one archive that is an OCI layout and what `docker save` writes, as Docker's since 25.

Imports httpx: import this module at first use.
"""

import posixpath
import tarfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from shoal.distribution.manifests import (
    NAME_ANNOTATION,
    OCI_INDEX,
    REFERENCE_ANNOTATION,
    Descriptor,
    Platform,
    host_platform,
)
from shoal.distribution.registry_client import Repository
from shoal.errors import NotFound
from shoal.image_reference import ImageReference
from shoal.images.image_contents import ImageContents, PlatformManifest, media_type_of, read_contents
from shoal.images.json_bytes import to_bytes
from shoal.images.progress import LayerProgress, LayerState, Progress
from shoal.images.source_blob import SourceBlob

_BLOCK = 512
_ZEROS = bytes(_BLOCK)


@dataclass(frozen=True)
class SavedImage:
    """An image to save.

    Attributes:
        names: references with tags; none for an image that is saved by its digest.
    """

    digest: str
    names: tuple[ImageReference, ...] = ()


async def write_archive(
    repository: Repository, images: Sequence[SavedImage], progress: Progress, *, platform: Platform | None = None
) -> AsyncGenerator[bytes]:
    """The archive's bytes, verified: an uncompressed tar. The same images give the same bytes.

    Args:
        platform: save that one of each image alone.
    Raises:
        NotFound: no such image, or none for the platform; before the first byte.
        InvalidInput: a blob is corrupt. Unavailable: the registry fails.
    """
    found = [(each, await read_contents(repository, each.digest, platform)) for each in images]
    documents = {
        "oci-layout": to_bytes({"imageLayoutVersion": "1.0.0"}),
        "index.json": to_bytes(_index(found)),
        "manifest.json": to_bytes(_docker_manifest(found, platform or host_platform())),
    }
    for directory in ("blobs/", "blobs/sha256/"):
        yield _header(directory, 0)
    blobs = {blob.digest: blob for _, contents in found for blob in contents.blobs}
    for blob in blobs.values():
        async with aclosing(_blob(repository, blob, progress)) as pieces:
            async for piece in pieces:
                yield piece
    for digest, content in _manifests(found).items():
        yield _file(blob_path(digest), content)
    for name, content in documents.items():
        yield _file(name, content)
    yield _ZEROS * 2


def blob_path(digest: str) -> str:
    """Where a blob lies in an OCI layout (image-layout.md)."""
    return posixpath.join("blobs", *digest.split(":", 1))


async def _blob(repository: Repository, blob: Descriptor, progress: Progress) -> AsyncGenerator[bytes]:
    def report(done: int) -> None:
        state = LayerState.DONE if done == blob.size else LayerState.TRANSFERRING
        progress(LayerProgress(blob.digest, state, done, blob.size))

    yield _header(blob_path(blob.digest), blob.size)
    async with aclosing(SourceBlob(repository, blob, on_bytes=report).open(0)) as pieces:
        async for piece in pieces:
            yield piece
    yield _padding(blob.size)


def _manifests(found: Sequence[tuple[SavedImage, ImageContents]]) -> dict[str, bytes]:
    raws = [raw for _, each in found for raw in (*(one.raw for one in each.manifests), each.top)]
    return {raw.digest: raw.content for raw in raws}


def _index(found: Sequence[tuple[SavedImage, ImageContents]]) -> dict[str, object]:
    entries = [entry for image, contents in found for entry in _entries(image, contents)]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}


def _entries(image: SavedImage, contents: ImageContents) -> list[dict[str, object]]:
    top = contents.top
    described = Descriptor(media_type_of(top), top.digest, len(top.content)).to_json()
    if not image.names:
        return [described]
    return [
        {**described, "annotations": {NAME_ANNOTATION: str(name), REFERENCE_ANNOTATION: name.tag}}
        for name in image.names
    ]


def _docker_manifest(found: Sequence[tuple[SavedImage, ImageContents]], preferred: Platform) -> list[dict[str, object]]:
    """The list that Docker before version 25 reads: one platform of each image."""
    return [
        {
            "Config": blob_path(one.manifest.config.digest),
            "RepoTags": [each.familiar for each in image.names] or None,
            "Layers": [blob_path(layer.digest) for layer in one.manifest.layers],
        }
        for image, contents in found
        for one in [_for_docker(contents, preferred)]
    ]


def _for_docker(contents: ImageContents, preferred: Platform) -> PlatformManifest:
    """This host's platform; where the image has none for it, its first one."""
    real = [each for each in contents.manifests if each.is_image]
    if not real:
        raise NotFound(f"{contents.top.digest} has no image for any platform")
    same = (each for each in real if each.platform and each.platform.architecture == preferred.architecture)
    return next(same, real[0])


def _file(name: str, content: bytes) -> bytes:
    return _header(name, len(content)) + content + _padding(len(content))


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name.rstrip("/"))
    member.size, member.mode = size, 0o644
    if name.endswith("/"):
        member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)
