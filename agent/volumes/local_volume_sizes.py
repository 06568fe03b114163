"""Disk usage of local volumes, measured on request."""

import asyncio
import time
from collections.abc import Collection
from pathlib import Path

from agent.safe_paths.disk_usage import measurement_deadline, path_disk_usage
from agent.volumes.local_volumes import LocalVolumes, volume_path
from shoal.api.v1.streams_pb2 import ReadVolumeSizesRequest, ReadVolumeSizesResponse, VolumeSize
from shoal.api.v1.volume_pb2 import LocalVolume
from shoal.errors import InvalidInput, Unavailable

MAX_VOLUMES = 10_000


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
        deadline = measurement_deadline(request.timeout_ms)
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
            size.bytes = path_disk_usage(path, seconds=deadline - time.monotonic())
        except Unavailable as error:
            size.problem = str(error)
        except OSError as error:
            size.problem = f"cannot read {path}: {error.strerror}"
        return size
