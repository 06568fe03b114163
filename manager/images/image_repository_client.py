"""The manager as a client of the cluster's image repository."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol, Self

from manager.store.tables import View
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import Refused, Timeout
from shoal.images.image_repository import ImageRepository

CALL_SECONDS = 20.0
_NONE = "sha256:" + 64 * "0"


class ImageContents(Protocol):
    """Whether the bytes of images are there; `ImageRepositoryClient` is one."""

    async def has(self, digest: str) -> bool:
        """Whether an image is kept in the cluster's image repository.

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

    async def has(self, digest: str) -> bool:
        async with _in_time():
            return await self._repository().has(digest)

    async def forget(self, digest: str) -> None:
        async with _in_time():
            await self._repository().forget(digest)

    async def check(self, name: str) -> None:
        """Raises Unavailable, Unauthenticated, PermissionDenied: the repository's registry does not let us read."""
        async with _in_time():
            await ImageRepository(self._distribution, name).has(_NONE)

    def _repository(self) -> ImageRepository:
        settings = self._view.settings
        if settings is None or not settings.image_repository:
            raise Refused(
                "the cluster has no image repository; set one with "
                "`shoal cluster update --image-repository REGISTRY/shoal/pool`"
            )
        return ImageRepository(self._distribution, settings.image_repository)


@asynccontextmanager
async def _in_time() -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(CALL_SECONDS):
            yield
    except TimeoutError:
        raise Timeout(f"the registry of the cluster's images did not respond within {CALL_SECONDS:g} s") from None
