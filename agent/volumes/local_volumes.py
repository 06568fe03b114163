"""Local volumes: one directory each, recovered from disk.

    <directory>/<name>/volume       HeldVolume
    <directory>/<name>/_data        what containers see; <name> is "<name>.<slot>" for a slot's own
    <directory>/.removed/           volumes that are being deleted, which may take long and be cut short
    <directory>/.incoming/          copies from other nodes that are not complete (`agent.volume_moves`)

Names of volumes have no dot, so that a slot's directory is never another volume's.
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
from shoal.notifier import Notifier
from shoal.tree_removal import delete_trees
from shoal.volume_slots import volume_slot

RETRY_SECONDS = 1.0
"""Between looks whether a volume that is to go is still in use."""

_REMOVED = ".removed"
INCOMING = ".incoming"

_log = logging.getLogger(__name__)


class LocalVolumes:
    """Use it from the event loop; `run` must run for volumes to be deleted.

    Args:
        directory: made when the first volume is.
        now_ms: milliseconds since the Unix epoch.
        notifier: rung when something else lies here.
    """

    def __init__(self, directory: Path, now_ms: Callable[[], int], notifier: Notifier) -> None:
        self._directory = directory
        self._now_ms = now_ms
        self._notifier = notifier
        self._volumes = {volume_path(directory, held): held for held in _load(directory)}
        self._removing: set[str] = set()
        self._removed = directory / _REMOVED
        self._wake = asyncio.Event()
        self._wake.set()  # for what was being deleted when the agent ended
        self._in_use: Callable[[], Collection[VolumePart]] | None = None

    def volumes(self) -> list[LocalVolume]:
        """What lies here, by name and slot."""
        return sorted(self._volumes.values(), key=lambda held: (held.name, held.slot))

    @property
    def directory(self) -> Path:
        """Where all volumes lie."""
        return self._directory

    def find(self, volume_id: str, slot: int) -> tuple[Path, LocalVolume] | None:
        """Where the volume, or a slot's part of it, lies here."""
        found = (
            (path, held) for path, held in self._volumes.items() if held.volume_id == volume_id and held.slot == slot
        )
        return next(found, None)

    def is_used(self, volume_id: str, slot: int) -> bool:
        """Whether containers have this part of it, or are about to; so are all until it is known which are here."""
        return self._in_use is None or (volume_id, slot) in self._in_use()

    def adopt(self, prepared: Path, held: LocalVolume, *, replace: bool) -> None:
        """Make a complete copy that was put together beside the volumes one of them.

        Args:
            prepared: a directory of the same file system with `volume` and `_data`.
            replace: data of the volume that is here already is deleted.
        Raises:
            Refused: something is in its place. Unavailable: a container has it, or the disk refuses.
        """
        path = volume_path(self._directory, held)
        present = self._volumes.get(path)
        if present is not None and (present.volume_id != held.volume_id or not replace):
            raise Refused(f"volume {held.name} already exists on this node")
        if self.is_used(held.volume_id, held.slot):
            raise Unavailable(f"a container of this node has volume {held.name}")
        if present is not None:
            self._move_to_removed(path)
            del self._volumes[path]
        try:
            prepared.rename(path)
        except OSError as error:
            raise Refused(f"{path} already exists and blocks volume {held.name}: {error.strerror}") from error
        self._volumes[path] = held
        self._notifier.notify()
        self._wake.set()

    def delete_copy(self, volume_id: str, slot: int, created_at_ms: int) -> None:
        """Delete the one copy that was made then; another one is left alone.

        Raises:
            Unavailable: a container has it.
        """
        found = self.find(volume_id, slot)
        if found is None or found[1].created_at_ms != created_at_ms:
            return
        if self.is_used(volume_id, slot):
            raise Unavailable(f"a container of this node has volume {found[1].name}")
        self._move_to_removed(found[0])
        del self._volumes[found[0]]
        self._notifier.notify()
        self._wake.set()

    def ensure(self, container: ContainerSpec, slot: int) -> dict[str, MountSource]:
        """The local volumes of a task's container that have names, by target; those that are not here are made.

        Raises:
            Unavailable: the disk refuses. DiskFull: it has no room. Refused: data of another volume lies there.
        """
        named = (mount for mount in container.mounts if mount.type == Mount.VOLUME and mount.source)
        return {mount.target: self._source(mount, slot) for mount in named if not is_csi(mount)}

    def schedule_removal(self, volume_ids: Collection[str]) -> None:
        """Have these volumes deleted as soon as no container uses them."""
        self._removing.update(volume_ids)
        self._wake.set()

    async def run(self, in_use: Callable[[], Collection[VolumePart]]) -> None:
        """Delete what is to be, until cancelled.

        Args:
            in_use: the parts of volumes that containers have mounted, or are about to.
        """
        self._in_use = in_use
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._delete({volume_id for volume_id, _ in in_use()})
            if self._removing & {held.volume_id for held in self._volumes.values()}:
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()
            else:
                self._removing.clear()

    def _source(self, mount: Mount, slot: int) -> MountSource:
        use = mount.volume
        held = LocalVolume(
            volume_id=mount.source, name=use.name, slot=volume_slot(use, slot), created_at_ms=self._now_ms()
        )
        path = volume_path(self._directory, held)
        if path.parent != self._directory or ".." in path.parts:
            raise Refused(f"{use.name!r} is not a valid volume name")
        try:
            self._make(path, held)
        except OSError as error:
            text = f"cannot create volume {use.name} in {path}: {error.strerror}"
            raise (disk_full(text, self._directory) if is_disk_full(error) else Unavailable(text)) from error
        return MountSource(
            data=path / "_data", options=dict(use.options), subpath=use.subpath, populate=not use.no_copy
        )

    def _make(self, path: Path, held: LocalVolume) -> None:
        present = self._volumes.get(path)
        if present is not None and present.volume_id != held.volume_id:
            raise Refused(
                f"{path} contains data of another volume with this name "
                f"({present.volume_id}) from an earlier cluster or node; move it away"
            )
        if present is None:
            self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            (path / "_data").mkdir(mode=0o755, parents=True, exist_ok=True)
            draft = path / "volume.new"
            draft.write_bytes(held.SerializeToString())
            draft.replace(path / "volume")
            self._volumes[path] = held
            self._notifier.notify()

    async def _delete(self, used: Collection[str]) -> None:
        going = [
            path
            for path, held in self._volumes.items()
            if held.volume_id in self._removing and held.volume_id not in used
        ]
        for path in going:
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
        """At once and whole: of a volume that is deleted in part, the rest would be taken for another one's data."""
        try:
            self._removed.mkdir(mode=0o700, exist_ok=True)
            path.rename(self._removed / f"{path.name}.{time.monotonic_ns()}")
        except OSError:  # a full disk has no room for the name, and then this makes room
            delete_trees(path)

    def _empty_removed(self) -> None:
        try:
            delete_trees(self._removed)
        except Unavailable as error:
            _log.warning("could not delete all data of removed volumes; it is retried with the next removal: %s", error)


def is_csi(mount: Mount) -> bool:
    """Whether the mount is of a volume of a driver, and none of this host's own."""
    return mount.type == Mount.VOLUME and mount.volume.driver not in ("", "local")


def volume_path(directory: Path, held: LocalVolume) -> Path:
    """Where a volume lies."""
    return directory / (f"{held.name}.{held.slot}" if held.slot else held.name)


def _load(directory: Path) -> Iterator[LocalVolume]:
    if not directory.exists():
        return
    for path in sorted(directory.iterdir()):
        if path.name in (_REMOVED, INCOMING):
            continue
        try:
            held = LocalVolume.FromString((path / "volume").read_bytes())
        except (OSError, DecodeError) as error:
            _log.warning("ignoring %s: not a volume created by Shoal: %s", path, error)
            continue
        # A crash of the host may leave an empty record, and somebody a directory under another name: neither says whose
        # data lies elsewhere. What a task asks for gets a record of its own again.
        if not held.volume_id or volume_path(directory, held) != path:
            _log.warning("ignoring %s: its volume record is missing or does not match", path)
            continue
        yield held
