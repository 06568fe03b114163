"""What the local volumes of this host take on its disk, counted when somebody asks."""

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
    """One count at a time, in a thread: it takes the disk's time and, of containers, nothing else.

    Args:
        directory: of the store.
    """

    def __init__(self, store: LocalVolumes, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self._lock = asyncio.Lock()

    async def read(self, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        """Of those that are asked for and lie here, a size or why there is none.

        Raises:
            InvalidInput: too many, or no time.
        """
        if len(request.volume_ids) > MAX_VOLUMES:
            raise InvalidInput(f"volume_ids: too many ({len(request.volume_ids)}); the maximum is {MAX_VOLUMES}")
        if not 1 <= request.timeout_ms <= MAX_MILLISECONDS:
            raise InvalidInput(f"milliseconds: {request.timeout_ms} is not from 1 to {MAX_MILLISECONDS}")
        deadline = time.monotonic() + request.timeout_ms / 1000
        wanted = frozenset(request.volume_ids)
        async with self._lock:
            held = [each for each in self._store.volumes() if each.volume_id in wanted]
            return ReadVolumeSizesResponse(volumes=await asyncio.to_thread(self._count, held, deadline))

    def _count(self, held: Collection[LocalVolume], deadline: float) -> list[VolumeSize]:
        return [self._size(each, deadline) for each in held]

    def _size(self, held: LocalVolume, deadline: float) -> VolumeSize:
        made = VolumeSize(volume_id=held.volume_id, slot=held.slot)
        path = volume_path(self._directory, held) / "_data"
        try:
            directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                made.bytes = disk_usage(directory, seconds=max(0.0, deadline - time.monotonic()))
            finally:
                os.close(directory)
        except Unavailable as error:
            made.problem = str(error)
        except OSError as error:
            made.problem = f"{path} cannot be read: {error.strerror}"
        return made
