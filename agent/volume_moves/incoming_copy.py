"""An incomplete copy of a volume on disk; it can be continued after a restart of the agent.

    <volumes>/.incoming/<volume id>.<slot>.<id of the move>/_data, links/, progress, volume

No container sees it. It is never the only copy: the source node keeps its own until this one has become a volume.
"""

import os
import re
import time
from pathlib import Path

from agent.safe_paths.disk_flush import fsync_directory
from agent.safe_paths.disk_usage import path_disk_usage
from agent.volumes.local_volumes import INCOMING
from shoal.api.v1.streams_pb2 import FetchVolumeRequest
from shoal.api.v1.volume_pb2 import LocalVolume
from shoal.errors import InvalidInput, Unavailable
from shoal.tree_removal import delete_trees

ABANDONED_SECONDS = 24 * 3600.0
"""Copies that were not continued for this long are deleted."""

_ID = re.compile(r"[0-9a-z]{1,64}")


class IncomingCopy:
    """One incoming copy.

    Args:
        volumes: the directory of all volumes.
    """

    def __init__(self, volumes: Path, volume_id: str, slot: int, created_at_ms: int) -> None:
        if not _ID.fullmatch(volume_id):
            raise InvalidInput("volume_id: not a valid id")
        self.path = volumes / INCOMING / f"{volume_id}.{slot}.{created_at_ms}"
        self.data = self.path / "_data"
        self.links = self.path / "links"
        self._progress = self.path / "progress"

    def make(self) -> None:
        """Create its directories. Raises OSError."""
        self.path.parent.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self.path.mkdir(mode=0o711, exist_ok=True)
        self.data.mkdir(mode=0o755, exist_ok=True)
        self.links.mkdir(mode=0o700, exist_ok=True)

    def last_entry(self) -> int:
        """The number of the last entry on disk; 0 if there is none."""
        try:
            return int(self._progress.read_text())
        except (OSError, ValueError):
            return 0

    def save_progress(self, done: int) -> None:
        """Record the number of the last entry on disk. Raises OSError."""
        _write(self._progress, str(done).encode())

    def disk_bytes(self) -> int:
        """Bytes on disk. Raises Unavailable, OSError."""
        return path_disk_usage(self.data)

    def finish(self, request: FetchVolumeRequest) -> LocalVolume:
        """Complete it as a volume on disk, ready to be moved into place. Raises OSError, Unavailable."""
        volume = LocalVolume(
            volume_id=request.volume_id, name=request.name, slot=request.slot, created_at_ms=request.created_at_ms
        )
        _write(self.path / "volume", volume.SerializeToString())
        delete_trees(self.links)
        fsync_directory(self.path)
        return volume

    def delete(self) -> None:
        """Delete it. Raises Unavailable if it could not be deleted completely."""
        delete_trees(self.path)


def delete_abandoned(volumes: Path, *, keep: Path) -> None:
    """Delete abandoned copies."""
    before = time.time() - ABANDONED_SECONDS
    directory = volumes / INCOMING
    for path in directory.iterdir() if directory.exists() else ():
        files = (path, path / "progress")
        newest = max((each.stat().st_mtime for each in files if each.exists()), default=before)
        if path != keep and newest < before:
            try:
                delete_trees(path)
            except Unavailable:
                continue  # retried with the next copy


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
