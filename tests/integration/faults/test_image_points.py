"""A removed image leaves the registry, whenever the manager that removes it is killed, or the registry was away."""

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from cli.images.push import push
from cli.playground.registry_server import RegistryServer
from manager.images.image_locks import lock_key
from manager.store.kinds import NAME
from shoal.api.v1.control_pb2 import UpdateClusterRequest
from shoal.api.v1.engine_pb2 import RemoveImageRequest, SetImageRequest
from shoal.api.v1.engine_pb2_grpc import ImagesStub
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.images.image_repository import ImageRepository
from tests.integration.faults.faulty_manager import await_death, start_with_faults
from tests.integration.images.image_repository_rig import pull
from tests.integration.images.rig import QUICK, ignore, small_archive
from tests.integration.manager.manager_process import ManagerProcess, running_manager, shared_etcd, until
from tests.integration.registry_fixture import running_registry

NAME_REMOVED, BYTES_DELETED = IMAGE_POINTS = ("manager.images.last-name-removed", "manager.images.bytes-deleted")
MARK_SECONDS = 180.0
"""The mark of a manager that ended runs out after a minute."""


@dataclass(frozen=True)
class ImageCluster:
    """A manager, its etcd, the cluster's registry, and another one that images are pulled from."""

    manager: ManagerProcess
    registry: RegistryServer
    repository: ImageRepository
    distribution: Distribution
    source: int
    etcd: str
    directory: Path

    async def pulled(self, name: str) -> Image:
        """An image of layers of its own, under a name."""
        reference = f"127.0.0.1:{self.source}/{name}:1"
        await push(small_archive(self.directory, name, name.encode()), reference, Registries(), ignore)
        image = await pull(self.distribution, self.repository, reference)
        return await (await self.images()).SetImage(SetImageRequest(image=image), timeout=30)  # type: ignore[no-any-return]

    async def images(self) -> Any:
        """The API, once a manager leads."""
        await self.manager.ready()
        return ImagesStub(self.manager.channel())

    async def removal_killed_at(self, point: str, image: Image) -> None:
        """Remove an image by a manager that is killed there; its etcd may be too busy for the first attempts."""
        self.manager.end()
        start_with_faults(self.manager, f"{point}=kill")
        images = await self.images()

        async def has_ended() -> bool:
            with suppress(aio.AioRpcError):
                await images.RemoveImage(RemoveImageRequest(image=image.name), timeout=30)
            return self.manager.process is not None and self.manager.process.poll() is not None

        await until(has_ended, f"the manager is killed at {point}", MARK_SECONDS)
        await await_death(self.manager, point)

    async def is_deleted(self, image: Image) -> bool:
        """Whether the registry has the image's manifest no more, and nothing is left to do."""
        command = ["etcdctl", f"--endpoints={self.etcd}", "get", NAME.key(lock_key(image.digest)).decode()]
        found = await asyncio.to_thread(
            subprocess.run, command, env={**os.environ, "ETCDCTL_API": "3"}, check=True, capture_output=True, timeout=60
        )
        return not found.stdout and not await self.repository.has(image.digest)

    async def blobs(self) -> list[Path]:
        """What the registry's garbage collection leaves, which needs a registry that is stopped."""
        await self.registry.stop()
        command = ["docker-registry", "garbage-collect", str(self.registry.directory / "config.json")]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)
        return sorted((self.registry.directory / "data/docker/registry/v2/blobs").rglob("data"))


@asynccontextmanager
async def image_cluster(directory: Path) -> AsyncGenerator[ImageCluster]:
    with shared_etcd(directory) as etcd:
        async with (
            running_registry(directory / "source") as source,
            running_registry(directory / "cluster") as registry,
            running_manager(directory, "--etcd-endpoint", etcd) as (manager, control),
            Distribution(Registries(), policy=QUICK) as distribution,
        ):
            name = f"127.0.0.1:{registry.port}/shoal/pool"
            await control.UpdateCluster(UpdateClusterRequest(image_repository=name), timeout=30)
            repository = ImageRepository(distribution, name)
            yield ImageCluster(manager, registry, repository, distribution, source.port, etcd, directory)


@pytest.mark.timeout(390)  # marks run out after a minute
def test_the_leader_completes_removals_of_managers_that_were_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with image_cluster(tmp_path) as cluster:
            images = [await cluster.pulled(name) for name in ("one", "two")]
            await cluster.removal_killed_at(BYTES_DELETED, images[0])
            assert not await cluster.repository.has(images[0].digest)
            await cluster.removal_killed_at(NAME_REMOVED, images[1])
            assert await cluster.repository.has(images[1].digest)
            cluster.manager.start()
            for image in images:
                await until(partial(cluster.is_deleted, image), f"{image.name} is deleted", MARK_SECONDS)
            assert await cluster.blobs() == []

    asyncio.run(scenario())


@pytest.mark.timeout(390)  # as above
def test_images_removed_while_the_registry_was_away_are_deleted_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with image_cluster(tmp_path) as cluster:
            image = await cluster.pulled("one")
            await cluster.registry.stop()
            removed = await (await cluster.images()).RemoveImage(RemoveImageRequest(image=image.name), timeout=60)
            assert list(removed.deleted) == [image.variants[0].config_digest]
            await cluster.registry.start()
            await until(partial(cluster.is_deleted, image), "the image is deleted", MARK_SECONDS)
            assert await cluster.blobs() == []

    asyncio.run(scenario())
