"""The manager as a client of the cluster's image repository."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol, Self

from manager.store.tables import View
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.digests import digest_of
from shoal.distribution.image_config import parse_config
from shoal.distribution.manifests import OCI_MANIFEST, Platform
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution, RawManifest
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.uploads import Uploader
from shoal.errors import InvalidInput, Refused, Timeout
from shoal.images.committed_image import CommittedImage
from shoal.images.image_index import image_index
from shoal.images.image_repository import ImageRepository

CALL_SECONDS = 20.0
_NONE = "sha256:" + 64 * "0"


class StoredImages(Protocol):
    """Whether the bytes of images are there; `ImageRepositoryClient` is one."""

    async def has(self, digest: str, parts: Sequence[str] = ()) -> bool:
        """Whether an image is kept in the cluster's image repository, and the manifests to which its index refers.

        Raises:
            Refused: the cluster has none. Unavailable, Timeout: its registry does not respond.
        """
        ...

    async def forget(self, digest: str) -> None:
        """Keep it no longer. Raises as `has` does; Refused also where the registry does not delete."""
        ...


class ImageRepositoryClient:
    """Calls with the manager's own credentials. An async context manager; belongs to one event loop."""

    def __init__(self, *, view: View, registries: Registries) -> None:
        self._view = view
        self._distribution = Distribution(registries, policy=RetryPolicy(attempts=2))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._distribution.aclose()

    async def has(self, digest: str, parts: Sequence[str] = ()) -> bool:
        async with _in_time():
            repository = self._repository()
            return await repository.has(digest) and await repository.has_manifests(parts)

    async def forget(self, digest: str) -> None:
        async with _in_time():
            await self._repository().forget(digest)

    @property
    def name(self) -> str:
        """The cluster's image repository. Raises Refused: there is none."""
        settings = self._view.settings
        if settings is None or not settings.image_repository:
            raise Refused(
                "the cluster has no image repository; set one with "
                "`shoal cluster update --image-repository REGISTRY/shoal/pool`"
            )
        return settings.image_repository

    async def publish(self, image: CommittedImage, name: str) -> Image:
        """Put an image's documents beside its layers, which are there; what the cluster's record is to say of it.

        Args:
            name: normalized reference; empty for none.
        Raises:
            As `has` does; InvalidInput: its configuration is too large. Unauthenticated, PermissionDenied.
        """
        async with _in_time():
            repository = self._repository()
            uploader = Uploader(repository.repository)
            await uploader.put_blob(image.config_blob, lambda offset: _content(image.config, offset))
            manifest = RawManifest(OCI_MANIFEST, image.manifest_digest, image.manifest)
            await uploader.put_manifest(manifest, image.manifest_digest)
            return await repository.adopt(image.manifest_digest, name)

    async def adopt(self, digest: str, name: str, *, is_kept: bool) -> Image:
        """Keep an image that was put there already; what the cluster's record is to say of it. Raises as `publish`.

        Args:
            is_kept: whoever put it there keeps it too.
        """
        async with _in_time():
            return await self._repository().adopt(digest, name, is_kept=is_kept)

    async def combine(self, digests: Sequence[str], *, oci: bool) -> str:
        """Put an index above images that are there; its digest. Nothing keeps it yet.

        Raises:
            As `publish`; InvalidInput: two are for the same platform, or one is an index.
        """
        async with _in_time():
            repository = self._repository()
            parts = [await _part(repository, each) for each in digests]
            media_type, content = image_index(parts, oci=oci)
            index = RawManifest(media_type, digest_of(content), content)
            await Uploader(repository.repository).put_manifest(index, index.digest)
            return index.digest

    async def check(self, name: str) -> None:
        """Raises Unavailable, Unauthenticated, PermissionDenied: the repository's registry does not let us read."""
        async with _in_time():
            await ImageRepository(self._distribution, name).has(_NONE)

    def _repository(self) -> ImageRepository:
        return ImageRepository(self._distribution, self.name)


async def _part(repository: ImageRepository, digest: str) -> tuple[RawManifest, Platform]:
    contents = await repository.contents(digest)
    if contents.is_index:
        raise InvalidInput(f"image {digest} is an index of several platforms")
    config = await repository.repository.blob(contents.manifests[0].manifest.config)
    return contents.top, parse_config(config).platform


async def _content(content: bytes, offset: int) -> AsyncGenerator[bytes]:
    yield content[offset:]


@asynccontextmanager
async def _in_time() -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(CALL_SECONDS):
            yield
    except TimeoutError:
        raise Timeout(f"the registry of the cluster's images did not respond within {CALL_SECONDS:g} s") from None
