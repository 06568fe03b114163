"""Local volumes: one directory each, recovered from disk at the start.

    <directory>/<name>/volume       LocalVolume
    <directory>/<name>/_data        what containers see; <name> is "<name>.<slot>" for the part of a slot
    <directory>/.removed/           volumes that are being deleted, which may take long and be interrupted
    <directory>/.incoming/          incomplete copies from other nodes (`agent.volume_moves`)

Volume names have no dot, so that a slot's directory cannot be another volume's.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from agent.disk_full import disk_full, is_disk_full
from agent.worker.interfaces import MountSource, VolumePart
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.volume_pb2 import LocalVolume
from shoal.errors import Refused, Unavailable
from shoal.fault_points.injection import fault
from shoal.notifier import Notifier
from shoal.tree_removal import delete_trees
from shoal.volume_slots import volume_slot

RETRY_SECONDS = 1.0
"""Interval of checking whether a volume to delete is still in use."""

_REMOVED = ".removed"
INCOMING = ".incoming"

_log = logging.getLogger(__name__)


class LocalVolumes:
    """Use it from the event loop; `run` must run for volumes to be deleted.

    Args:
        directory: created with the first volume.
        now_ms: milliseconds since the Unix epoch.
        notifier: notified when the set of volumes changes.
    """

    def __init__(self, directory: Path, now_ms: Callable[[], int], notifier: Notifier) -> None:
        self._directory = directory
        self._now_ms = now_ms
        self._notifier = notifier
        self._volumes = {volume_path(directory, volume): volume for volume in _load(directory)}
        self._removing: set[str] = set()
        self._removed = directory / _REMOVED
        self._wake = asyncio.Event()
        self._wake.set()  # for deletions that were interrupted by the agent's exit
        self._in_use: Callable[[], Collection[VolumePart]] | None = None

    def volumes(self) -> list[LocalVolume]:
        """The volumes of this node, by name and slot."""
        return sorted(self._volumes.values(), key=lambda volume: (volume.name, volume.slot))

    @property
    def directory(self) -> Path:
        """The directory of all volumes."""
        return self._directory

    def find(self, volume_id: str, slot: int) -> tuple[Path, LocalVolume] | None:
        """The path and record of a volume, or of a slot's part of it, on this node."""
        found = (
            (path, volume)
            for path, volume in self._volumes.items()
            if volume.volume_id == volume_id and volume.slot == slot
        )
        return next(found, None)

    def is_used(self, volume_id: str, slot: int) -> bool:
        """Whether containers use this part, or are about to; always true until the containers are known."""
        return self._in_use is None or (volume_id, slot) in self._in_use()

    def adopt(self, prepared: Path, volume: LocalVolume, *, replace: bool) -> None:
        """Make a complete copy that was assembled beside the volumes one of them.

        Args:
            prepared: a directory of the same file system with `volume` and `_data`.
            replace: existing data of the volume is deleted.
        Raises:
            Refused: something else is in its place. Unavailable: a container uses it, or the disk fails.
        """
        path = volume_path(self._directory, volume)
        present = self._volumes.get(path)
        if present is not None and (present.volume_id != volume.volume_id or not replace):
            raise Refused(f"volume {volume.name} already exists on this node")
        if self.is_used(volume.volume_id, volume.slot):
            raise Unavailable(f"volume {volume.name} is in use by a container on this node")
        if present is not None:
            self._move_to_removed(path)
            del self._volumes[path]
        try:
            prepared.rename(path)
        except OSError as error:
            raise Refused(f"{path} already exists and blocks volume {volume.name}: {error.strerror}") from error
        self._volumes[path] = volume
        self._notifier.notify()
        self._wake.set()

    def delete_copy(self, volume_id: str, slot: int, created_at_ms: int) -> None:
        """Delete the copy with this creation time; another copy is kept.

        Raises:
            Unavailable: a container uses it.
        """
        found = self.find(volume_id, slot)
        if found is None or found[1].created_at_ms != created_at_ms:
            return
        if self.is_used(volume_id, slot):
            raise Unavailable(f"volume {found[1].name} is in use by a container on this node")
        self._move_to_removed(found[0])
        del self._volumes[found[0]]
        self._notifier.notify()
        self._wake.set()

    def ensure(self, container: ContainerSpec, slot: int) -> dict[str, MountSource]:
        """The named local volumes of a task's container, by target; missing ones are created.

        Raises:
            Unavailable: the disk fails. DiskFull: it is full. Refused: another volume's data is in its place.
        """
        named = (mount for mount in container.mounts if mount.type == Mount.VOLUME and mount.source)
        return {mount.target: self._source(mount, slot) for mount in named if not is_csi(mount)}

    def schedule_removal(self, volume_ids: Collection[str]) -> None:
        """Delete these volumes as soon as no container uses them."""
        self._removing.update(volume_ids)
        self._wake.set()

    async def run(self, in_use: Callable[[], Collection[VolumePart]]) -> None:
        """Delete scheduled volumes until cancelled.

        Args:
            in_use: returns the parts of volumes that containers use, or are about to.
        """
        self._in_use = in_use
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._delete({volume_id for volume_id, _ in in_use()})
            if self._removing & {volume.volume_id for volume in self._volumes.values()}:
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()
            else:
                self._removing.clear()

    def _source(self, mount: Mount, slot: int) -> MountSource:
        volume_options = mount.volume
        volume = LocalVolume(
            volume_id=mount.source,
            name=volume_options.name,
            slot=volume_slot(volume_options, slot),
            created_at_ms=self._now_ms(),
        )
        path = volume_path(self._directory, volume)
        if path.parent != self._directory or ".." in path.parts:
            raise Refused(f"{volume_options.name!r} is not a valid volume name")
        try:
            self._make(path, volume)
        except OSError as error:
            text = f"cannot create volume {volume_options.name} in {path}: {error.strerror}"
            raise (disk_full(text, self._directory) if is_disk_full(error) else Unavailable(text)) from error
        return MountSource(
            data=path / "_data",
            options=dict(volume_options.options),
            subpath=volume_options.subpath,
            populate=not volume_options.no_copy,
        )

    def _make(self, path: Path, volume: LocalVolume) -> None:
        present = self._volumes.get(path)
        if present is not None and present.volume_id != volume.volume_id:
            raise Refused(
                f"{path} contains data of another volume with this name "
                f"({present.volume_id}) from an earlier cluster or node; move it away"
            )
        if present is None:
            self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            (path / "_data").mkdir(mode=0o755, parents=True, exist_ok=True)
            draft = path / "volume.new"
            fault("agent.volume.directory")
            draft.write_bytes(volume.SerializeToString())
            fault("agent.volume.draft")
            draft.replace(path / "volume")
            fault("agent.volume.recorded")
            self._volumes[path] = volume
            self._notifier.notify()

    async def _delete(self, used: Collection[str]) -> None:
        deleted = [
            path
            for path, volume in self._volumes.items()
            if volume.volume_id in self._removing and volume.volume_id not in used
        ]
        for path in deleted:
            try:
                await asyncio.to_thread(self._move_to_removed, path)
            except Unavailable as error:
                _log.warning("could not delete the volume in %s yet: %s", path, error)
                continue
            del self._volumes[path]
            _log.info("deleted the volume in %s", path)
            self._notifier.notify()
        if self._removed.exists():
            await asyncio.to_thread(self._empty_removed)

    def _move_to_removed(self, path: Path) -> None:
        """Rename it as a whole: the rest of a partly deleted volume would be mistaken for another one's data."""
        try:
            self._removed.mkdir(mode=0o700, exist_ok=True)
            path.rename(self._removed / f"{path.name}.{time.monotonic_ns()}")
            fault("agent.volume.moved-aside")
        except OSError:  # a full disk may have no space for the name; deleting frees space
            delete_trees(path)

    def _empty_removed(self) -> None:
        try:
            delete_trees(self._removed)
        except Unavailable as error:
            _log.warning("could not delete all data of removed volumes; it is retried with the next removal: %s", error)


def is_csi(mount: Mount) -> bool:
    """Whether the mount is of a CSI volume, not of a local one."""
    return mount.type == Mount.VOLUME and mount.volume.driver not in ("", "local")


def volume_path(directory: Path, volume: LocalVolume) -> Path:
    """The directory of a volume."""
    return directory / (f"{volume.name}.{volume.slot}" if volume.slot else volume.name)


def _load(directory: Path) -> Iterator[LocalVolume]:
    if not directory.exists():
        return
    for path in sorted(directory.iterdir()):
        if path.name in (_REMOVED, INCOMING):
            continue
        try:
            volume = LocalVolume.FromString((path / "volume").read_bytes())
        except (OSError, DecodeError) as error:
            _log.warning("ignoring %s: not a volume created by Shoal: %s", path, error)
            continue
        # A crash of the host may leave an empty record, and an operator may rename a directory: neither identifies the
        # data. A volume that a task requests gets a new record.
        if not volume.volume_id or volume_path(directory, volume) != path:
            _log.warning("ignoring %s: its volume record is missing or does not match", path)
            continue
        yield volume
