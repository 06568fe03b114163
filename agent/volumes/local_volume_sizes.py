"""Disk usage of local volumes, measured on request."""

import asyncio
import os
import time
from collections.abc import Collection
from pathlib import Path

from agent.safe_paths.disk_usage import disk_usage
from agent.volumes.local_volumes import LocalVolumes, volume_path
from shoal.api.v1.streams_pb2 import ReadVolumeSizesRequest, ReadVolumeSizesResponse, VolumeSize
from shoal.api.v1.volume_pb2 import LocalVolume
from shoal.errors import InvalidInput, Unavailable

MAX_VOLUMES = 10_000
MAX_MILLISECONDS = 60_000


class LocalVolumeSizes:
    """Measures one request at a time, in a thread, so that it slows down only the disk.

    Args:
        directory: of all volumes.
    """

    def __init__(self, store: LocalVolumes, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self._lock = asyncio.Lock()

    async def read(self, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        """The size of each requested volume on this node, or why it is unknown.

        Raises:
            InvalidInput: too many volumes, or an invalid timeout.
        """
        if len(request.volume_ids) > MAX_VOLUMES:
            raise InvalidInput(f"volume_ids: too many ({len(request.volume_ids)}); the maximum is {MAX_VOLUMES}")
        if not 1 <= request.timeout_ms <= MAX_MILLISECONDS:
            raise InvalidInput(f"timeout_ms: must be from 1 to {MAX_MILLISECONDS}")
        deadline = time.monotonic() + request.timeout_ms / 1000
        requested = frozenset(request.volume_ids)
        async with self._lock:
            volumes = [each for each in self._store.volumes() if each.volume_id in requested]
            return ReadVolumeSizesResponse(volumes=await asyncio.to_thread(self._count, volumes, deadline))

    def _count(self, volumes: Collection[LocalVolume], deadline: float) -> list[VolumeSize]:
        return [self._size(each, deadline) for each in volumes]

    def _size(self, volume: LocalVolume, deadline: float) -> VolumeSize:
        size = VolumeSize(volume_id=volume.volume_id, slot=volume.slot)
        path = volume_path(self._directory, volume) / "_data"
        try:
            directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                size.bytes = disk_usage(directory, seconds=max(0.0, deadline - time.monotonic()))
            finally:
                os.close(directory)
        except Unavailable as error:
            size.problem = str(error)
        except OSError as error:
            size.problem = f"cannot read {path}: {error.strerror}"
        return size
