"""Pushes a new layer and those of the image below it. Imports httpx: import this at first use."""

from collections.abc import AsyncIterator
from pathlib import Path

from shoal.distribution.manifests import Descriptor, Manifest
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.uploads import Uploader
from shoal.errors import InvalidInput, NotFound
from shoal.image_reference import parse
from shoal.images.image_copy import ImageCopy
from shoal.images.progress import LayerProgress
from shoal.images.repository_name import parse_repository_name

_READ = 256 << 10


async def push_layer(
    registries: Registries,
    policy: RetryPolicy,
    repository: str,
    layer: Descriptor | None,
    path: Path,
    *,
    below: Manifest,
    source: str,
) -> None:
    """Make sure that a repository holds an image's layers, then a new one.

    Args:
        layer, path: the new one; None for none.
        below: the image's manifest. source: a reference of where it was pulled.
    Raises:
        NotFound: one of the image's layers is in neither place.
        Unauthenticated, PermissionDenied, Unavailable: as the registries answer.
    """
    async with Distribution(registries, policy=policy) as distribution:
        target = distribution.repository(parse_repository_name(repository))
        origin = parse(source)
        try:
            await ImageCopy(distribution.repository(origin), target, _ignore, policy=policy).copy_blobs(below.layers)
        except (NotFound, InvalidInput) as error:
            raise type(error)(f"image {origin.familiar}, on which the container is: {error}") from error
        if layer is not None:
            await Uploader(target).put_blob(layer, lambda offset: _read(path, offset))


async def _read(path: Path, offset: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(_READ):
            yield chunk


def _ignore(_: LayerProgress) -> None:
    return None
