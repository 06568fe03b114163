"""The cluster's images as the console's calls use them: records of managers, bytes of the cluster's repository."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from shoal.api.v1.control_pb2 import GetClusterRequest
from shoal.api.v1.engine_pb2 import GetImageRequest, ImageView, SetImageRequest
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.registries import Registries
from shoal.errors import Exhausted, Refused
from shoal.image_reference import parse
from shoal.manager_calls.managers import Managers

if TYPE_CHECKING:
    from shoal.distribution.registry_client import Distribution
    from shoal.images.image_repository import ImageRepository

MAX_COPIES = 16
"""At once: each holds connections to two registries, and pieces of three layers."""

Logins = Callable[[Registries, Sequence[str]], Registries]
"""Settings with logins for these registries, where they have none. It may block, and raise ShoalError."""


class ClusterImages:
    """Images by name, and their repository.

    Args:
        registries: settings of registries.
        logins: what else has credentials, asked for each copy.
    """

    def __init__(self, managers: Managers, registries: Registries, logins: Logins) -> None:
        self._managers = managers
        self._logins = logins
        self._copies = 0
        self.registries = registries

    async def find(self, name: str) -> ImageView:
        """Raises NotFound."""
        return await self._managers.call(self._managers.images.GetImage, GetImageRequest(image=name))

    async def set(self, image: Image) -> None:
        """What its name means from now on; of an image without one, that it is there."""
        await self._managers.call(self._managers.images.SetImage, SetImageRequest(image=image))

    async def repository_name(self) -> str:
        """Empty: the cluster has none."""
        cluster = await self._managers.call(self._managers.control.GetCluster, GetClusterRequest())
        return cluster.image_repository

    @asynccontextmanager
    async def opened(
        self, registries: Registries, *domains: str
    ) -> AsyncGenerator[tuple["Distribution", "ImageRepository"]]:
        """The cluster's image repository, with logins for it and for these other registries.

        Raises:
            Refused: the cluster has no image repository. What `Logins` raises.
        """
        from shoal.distribution.registry_client import Distribution  # httpx: most consoles copy no image
        from shoal.images.image_repository import ImageRepository

        name = await self.repository_name()
        if not name:
            raise Refused("the cluster has no image repository; set one with `shoal cluster update --image-repository`")
        known = await asyncio.to_thread(self._logins, registries, (*domains, parse(name).domain))
        async with Distribution(known) as distribution:
            yield distribution, ImageRepository(distribution, name)

    @contextmanager
    def one_copy(self) -> Iterator[None]:
        """Raises Exhausted: too many are in progress."""
        if self._copies >= MAX_COPIES:
            raise Exhausted(f"too many copies of images in progress; the maximum is {MAX_COPIES}")
        self._copies += 1
        try:
            yield
        finally:
            self._copies -= 1
