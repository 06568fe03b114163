"""Images between registries, archives and the cluster's image repository: what the commands run, without their output.

Imports httpx: import this module in the command.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cli.images.cluster_repository import ClusterRepository
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.manifests import Platform
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.errors import InvalidInput
from shoal.image_reference import ImageReference
from shoal.images.archive import ArchivedImages, open_source, open_stream
from shoal.images.archive_writer import SavedImage, write_archive
from shoal.images.image_contents import read_contents
from shoal.images.image_record import read_variants
from shoal.images.image_repository import ImageRepository
from shoal.images.loading import load
from shoal.images.progress import Progress
from shoal.images.spool import spooled, uncompressed
from shoal.images.stream_compressor import Compression
from shoal.images.tar_import import ImportSettings, imported_image


@dataclass(frozen=True)
class Pushed:
    """What a push stored: the digest and the size in bytes of the manifest or index."""

    digest: str
    size: int


async def pull_image(
    cluster: ClusterRepository, reference: ImageReference, progress: Progress, *, platform: Platform | None
) -> Image:
    """Raises as `ImageRepository.pull` does."""
    async with _opened(cluster) as (distribution, repository):
        return await repository.pull(distribution.repository(reference), reference, progress, platform=platform)


async def describe_image(registries: Registries, reference: ImageReference) -> Image:
    """What a registry says of an image, which is not copied. Raises as `read_contents` and `read_variants` do."""
    async with Distribution(registries) as distribution:
        source = distribution.repository(reference)
        contents = await read_contents(source, reference.target)
        return Image(digest=contents.top.digest, variants=await read_variants(source, contents))


async def list_tags(registries: Registries, reference: ImageReference) -> list[str]:
    """Raises as `Repository.tags` does."""
    async with Distribution(registries) as distribution:
        return await distribution.repository(reference).tags()


async def push_image(
    cluster: ClusterRepository,
    digest: str,
    target: ImageReference,
    progress: Progress,
    *,
    platform: Platform | None,
    source: str = "",
) -> Pushed:
    """Raises as `ImageRepository.push` does."""
    async with _opened(cluster) as (distribution, repository):
        contents = await repository.contents(digest, platform)
        found = distribution.repository(target)
        tag = target.with_default_tag().tag
        await repository.push(contents.top.digest, found, tag, progress, source=source)
        return Pushed(contents.top.digest, len(contents.top.content))


async def save_images(
    cluster: ClusterRepository,
    images: Sequence[tuple[str, Sequence[ImageReference]]],
    output: BinaryIO,
    progress: Progress,
    *,
    platform: Platform | None,
) -> None:
    """Write an archive of digests with their names. Raises as `write_archive` does."""
    async with _opened(cluster) as (_, repository):
        requested = [SavedImage(digest, tuple(names)) for digest, names in images]
        async with aclosing(write_archive(repository.repository, requested, progress, platform=platform)) as pieces:
            async for piece in pieces:
                output.write(piece)


async def load_archive(
    cluster: ClusterRepository, source: Path | BinaryIO, progress: Progress, *, platform: Platform | None
) -> list[Image]:
    """Load a file, or a stream. Raises as `loading.load` does."""
    with open_source(source) if isinstance(source, Path) else open_stream(source, "-") as images:
        return await _load(cluster, images, progress, platform=platform)


async def import_tar(
    cluster: ClusterRepository, source: Path | BinaryIO, settings: ImportSettings, progress: Progress
) -> Image:
    """Import a tar of a root file system. Raises as `imported_image` and `loading.load` do."""
    name = str(source) if isinstance(source, Path) else "-"
    if isinstance(source, Path) and not source.is_file():
        raise InvalidInput(f"{source}: no such file")
    with uncompressed(source) if isinstance(source, Path) else spooled(source, name) as file:
        (image,) = await _load(cluster, imported_image(file, name, settings), progress, platform=None)
    return image


async def _load(
    cluster: ClusterRepository,
    images: ArchivedImages,
    progress: Progress,
    *,
    platform: Platform | None,
    compression: Compression = "zstd",
) -> list[Image]:
    async with _opened(cluster) as (_, repository):
        return await load(images, repository, progress, platform=platform, compression=compression)


@asynccontextmanager
async def _opened(cluster: ClusterRepository) -> AsyncGenerator[tuple[Distribution, ImageRepository]]:
    async with Distribution(cluster.registries) as distribution:
        yield distribution, ImageRepository(distribution, cluster.name)
