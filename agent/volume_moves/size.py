"""What a tree has, before it is copied, and whether there is room for it."""

import os
import stat
from pathlib import Path

from agent.volume_moves.tree import Entry, walk
from shoal.api.v1.streams_pb2 import OfferVolumeResponse
from shoal.errors import Exhausted

_STAT_BLOCK = 512
_BYTES_OF_AN_ENTRY = 512
"""Of a directory, taken in the mean."""

LEAST_FREE = 64 << 20
_SHARE_FREE = 0.02


def measure(top: int) -> OfferVolumeResponse:
    """Bytes and entries below a directory. Raises Refused, OSError: see `walk`."""
    found = OfferVolumeResponse()
    for step in walk(top):
        found.entries += 1
        if isinstance(step, Entry) and not step.same_as:
            allocated = step.status.st_blocks * _STAT_BLOCK
            found.disk_bytes += allocated
            if stat.S_ISREG(step.status.st_mode):
                found.content_bytes += min(allocated, step.status.st_size)
    return found


def room(directory: int | Path) -> int:
    """Bytes that may be written to the file system of a directory: some are left for everything else."""
    status = os.statvfs(directory)
    total, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
    return free - max(LEAST_FREE, round(total * _SHARE_FREE))


def require_room(directory: int | Path, offer: OfferVolumeResponse, present: int) -> None:
    """Raises Exhausted when a tree does not fit.

    Args:
        present: bytes of it that are there already.
    """
    needed = max(0, offer.disk_bytes - present) + offer.entries * _BYTES_OF_AN_ENTRY
    has = room(directory)
    if needed > has:
        raise Exhausted(f"the volume needs {_mib(needed)} and the disk of volumes has {_mib(max(0, has))} left for it")
    status = os.statvfs(directory)
    if status.f_files and offer.entries > status.f_favail:
        raise Exhausted(f"the volume has {offer.entries} files, and the disk of volumes room for {status.f_favail}")


def _mib(number: int) -> str:
    return f"{number / (1 << 20):,.0f} MiB"
