"""Commits containers' layers to the cluster's image repository for managers."""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from agent.archives.container_files import Roots, in_thread
from agent.archives.disk_budget import DiskBudget
from agent.runtime.live.root_access import OpenRoot
from shoal.api.v1.agent_containers_pb2 import CommitLayerRequest, CommitLayerResponse
from shoal.distribution.manifests import Descriptor
from shoal.errors import Refused, Unavailable
from shoal.fault_points.injection import fault

if TYPE_CHECKING:
    from agent.commits.layer_file import LayerFile

MAX_COMMITS = 2
Pause = Callable[[str], AbstractAsyncContextManager[None]]


class CommitContainers(Roots, Protocol):
    """`agent.runtime.oci_runtime.OciRuntime` is one."""

    def kept_roots(self) -> Mapping[str, str]:
        """Digest of the image below each kept root file system, by container id."""
        ...


class LayerImages(Protocol):
    """`agent.images.image_store.ImageStore` is one."""

    @property
    def temporary(self) -> Path:
        """For files that do not outlive a crash."""
        ...

    async def push_layer(
        self, image: str, repository: str, layer: Descriptor | None, path: Path
    ) -> tuple[bytes, bytes]:
        """As `ImageStore.push_layer`."""
        ...


class LayerCommits:
    """The call `CommitLayer`. For one event loop."""

    def __init__(self, *, containers: CommitContainers, images: LayerImages) -> None:
        self._containers = containers
        self._images = images
        self._commits = asyncio.Semaphore(MAX_COMMITS)
        self._reading = asyncio.Lock()

    async def commit(self, request: CommitLayerRequest, *, pause: Pause) -> CommitLayerResponse:
        """Write the layer of what a container has changed, and push it with those below.

        Args:
            pause: holds the container, by its id, while its files are read.
        Raises:
            NotFound: this host has none of the container. Refused: the image below it is not known.
            Exhausted: the disk is filling up. Unavailable: the registry or the host fails.
            Unauthenticated, PermissionDenied: the registry does not let this node push.
        """
        image = self._image_of(request)
        async with self._commits:
            with self._scratch() as scratch:
                path = Path(scratch) / "layer"
                layer = await self._written(request.container, path, pause)
                fault("agent.commit.written")
                blob = None if layer.is_empty else layer.blob
                manifest, config = await self._images.push_layer(image, request.image_repository, blob, path)
                fault("agent.commit.pushed")
        return CommitLayerResponse(
            digest=blob.digest if blob else "",
            size=blob.size if blob else 0,
            media_type=blob.media_type if blob else "",
            diff_id=layer.diff_id,
            manifest=manifest,
            config=config,
        )

    def _image_of(self, request: CommitLayerRequest) -> str:
        """Digest of the image below: the one that the root file system was made on, for one that is kept."""
        image = self._containers.kept_roots().get(request.container) or request.image.partition("@")[2]
        if not image:
            raise Refused(f"the image below container {request.container} is not known")
        return image

    def _scratch(self) -> TemporaryDirectory[str]:
        try:
            return TemporaryDirectory(prefix="commit-", dir=self._images.temporary)
        except OSError as error:
            raise Unavailable(f"{self._images.temporary}: {error.strerror}") from error

    async def _written(self, container: str, path: Path, pause: Pause) -> "LayerFile":
        async with self._reading, self._containers.open_root(container) as opened, pause(container):
            return await self._read(opened, path)

    async def _read(self, opened: OpenRoot, path: Path) -> "LayerFile":
        from agent.commits.layer_file import write_layer  # with what reads and compresses archives, when it is needed

        stop = threading.Event()
        disk = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            work = partial(write_layer, opened.upper, path, DiskBudget(disk), stop)
            return await in_thread(work, on_cancel=stop.set)
        finally:
            os.close(disk)
