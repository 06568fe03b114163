"""Measures a file tree before it is copied, and checks the disk space for it."""

import os
import stat
from pathlib import Path

from agent.volume_moves.tree_walk import FileEntry, walk_tree
from shoal.api.v1.streams_pb2 import OfferVolumeResponse
from shoal.errors import Exhausted

_STAT_BLOCK = 512
_BYTES_OF_AN_ENTRY = 512
"""Average size of a directory entry."""

MIN_FREE_BYTES = 64 << 20
_MIN_FREE_SHARE = 0.02


def measure(top: int) -> OfferVolumeResponse:
    """Bytes and entries below a directory. Raises Refused, OSError: see `walk_tree`."""
    found = OfferVolumeResponse()
    for step in walk_tree(top):
        found.entries += 1
        if isinstance(step, FileEntry) and not step.hard_link_to:
            allocated = step.status.st_blocks * _STAT_BLOCK
            found.disk_bytes += allocated
            if stat.S_ISREG(step.status.st_mode):
                found.content_bytes += min(allocated, step.status.st_size)
    return found


def available_bytes(directory: int | Path) -> int:
    """Bytes that may be written to a directory's file system, less a reserve."""
    status = os.statvfs(directory)
    total, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
    return free - max(MIN_FREE_BYTES, round(total * _MIN_FREE_SHARE))


def require_space(directory: int | Path, offer: OfferVolumeResponse, copied: int) -> None:
    """Raises Exhausted if a tree does not fit.

    Args:
        copied: bytes of it that are on disk already.
    """
    required = max(0, offer.disk_bytes - copied) + offer.entries * _BYTES_OF_AN_ENTRY
    available = available_bytes(directory)
    if required > available:
        raise Exhausted(
            f"not enough disk space for the volume: {_mib(required)} required, {_mib(max(0, available))} available"
        )
    status = os.statvfs(directory)
    if status.f_files and offer.entries > status.f_favail:
        raise Exhausted(f"not enough inodes for the volume: {offer.entries} required, {status.f_favail} available")


def _mib(number: int) -> str:
    return f"{number / (1 << 20):,.0f} MiB"
