"""What the local volumes of this host take on its disk, counted when somebody asks."""

import asyncio
import os
import time
from collections.abc import Collection
from pathlib import Path

from agent.beneath.usage import disk_usage
from agent.volumes.store import VolumeStore, held_path
from shoal.api.v1.streams_pb2 import ReadVolumeSizesRequest, ReadVolumeSizesResponse, VolumeSize
from shoal.api.v1.volume_pb2 import HeldVolume
from shoal.errors import InvalidInput, Unavailable

MOST_VOLUMES = 10_000
MOST_MILLISECONDS = 60_000


class VolumeSizes:
    """One count at a time, in a thread: it takes the disk's time and, of containers, nothing else.

    Args:
        directory: of the store.
    """

    def __init__(self, store: VolumeStore, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self._turn = asyncio.Lock()

    async def read(self, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        """Of those that are asked for and lie here, a size or why there is none.

        Raises:
            InvalidInput: too many, or no time.
        """
        if len(request.volume_ids) > MOST_VOLUMES:
            raise InvalidInput(f"volume_ids: {len(request.volume_ids)} volumes; at most {MOST_VOLUMES} at once")
        if not 1 <= request.milliseconds <= MOST_MILLISECONDS:
            raise InvalidInput(f"milliseconds: {request.milliseconds} is not from 1 to {MOST_MILLISECONDS}")
        deadline = time.monotonic() + request.milliseconds / 1000
        wanted = frozenset(request.volume_ids)
        async with self._turn:
            held = [each for each in self._store.held() if each.volume_id in wanted]
            return ReadVolumeSizesResponse(volumes=await asyncio.to_thread(self._count, held, deadline))

    def _count(self, held: Collection[HeldVolume], deadline: float) -> list[VolumeSize]:
        return [self._size(each, deadline) for each in held]

    def _size(self, held: HeldVolume, deadline: float) -> VolumeSize:
        made = VolumeSize(volume_id=held.volume_id, slot=held.slot)
        path = held_path(self._directory, held) / "_data"
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
