"""Bytes on disk of containers' root file systems, counted on request."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.runtime.live.root_access import RootFiles
from agent.safe_paths.disk_usage import disk_usage, measurement_deadline
from shoal.api.v1.agent_containers_pb2 import ContainerSize, ReadContainerSizesRequest, ReadContainerSizesResponse
from shoal.errors import InvalidInput, Unavailable

MAX_CONTAINERS = 10_000


class RootSizes:
    """Counts for one request at a time, in a thread, so that it slows down only the disk.

    Args:
        find: where the files of a container are, by its id or its task's; None: not on this host.
    """

    def __init__(self, find: Callable[[str], RootFiles | None]) -> None:
        self._find = find
        self._lock = asyncio.Lock()
        self._layers: dict[Path, int] = {}

    async def read(self, request: ReadContainerSizesRequest) -> ReadContainerSizesResponse:
        """The size of each container that is on this node, or why it is unknown.

        Raises:
            InvalidInput: too many containers, or an invalid timeout.
        """
        if len(request.containers) > MAX_CONTAINERS:
            raise InvalidInput(f"containers: too many ({len(request.containers)}); the maximum is {MAX_CONTAINERS}")
        deadline = measurement_deadline(request.timeout_ms)
        async with self._lock:
            found = [(each, files) for each in request.containers if (files := self._find(each)) is not None]
            return ReadContainerSizesResponse(sizes=await asyncio.to_thread(self._count, found, deadline))

    def _count(self, found: Sequence[tuple[str, RootFiles]], deadline: float) -> list[ContainerSize]:
        used = {layer for _, files in found for layer in files.layers}
        self._layers = {layer: size for layer, size in self._layers.items() if layer in used}
        return [self._size(own_id, files, deadline) for own_id, files in found]

    def _size(self, own_id: str, files: RootFiles, deadline: float) -> ContainerSize:
        try:
            image = sum(self._layer_size(layer, deadline) for layer in files.layers)
            writable = _size_of(files.upper, deadline)
        except Unavailable as error:
            return ContainerSize(container=own_id, problem=str(error))
        except OSError as error:
            return ContainerSize(
                container=own_id, problem=f"cannot read {error.filename or files.upper}: {error.strerror}"
            )
        return ContainerSize(container=own_id, writable_bytes=writable, image_bytes=image)

    def _layer_size(self, layer: Path, deadline: float) -> int:
        """Layers never change: each is counted once."""
        if layer not in self._layers:
            self._layers[layer] = _size_of(layer, deadline)
        return self._layers[layer]


def _size_of(path: Path, deadline: float) -> int:
    """Bytes of everything below a directory, without the directory's own."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        own = os.fstat(directory).st_blocks * 512
        return disk_usage(directory, seconds=deadline - time.monotonic()) - own
    finally:
        os.close(directory)
