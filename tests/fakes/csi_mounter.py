"""Volumes of drivers on a host that only pretends: what is mounted is a name in a set."""

from collections.abc import Callable, Iterator
from pathlib import Path

from agent.files.file_contents import FileContents
from agent.volumes.csi_volumes import CsiVolumes
from agent.volumes.host_volumes import HostVolumes
from agent.volumes.local_volumes import LocalVolumes
from shoal.api.v1.dispatcher_pb2 import VolumeAttachment
from shoal.errors import Unavailable
from shoal.notifier import Notifier


class FakeCsiMounter:
    """Mounts at once, or fails as often as it is set to; the disk outlives the object when it is handed on.

    Attributes:
        disk: records by volume id. mounted: ids of what is mounted. calls: what was asked, "mount v1".
        failures: how many of the next calls fail, with `failure`.
    """

    def __init__(self, disk: dict[str, VolumeAttachment] | None = None) -> None:
        self.disk = disk if disk is not None else {}
        self.mounted: set[str] = set()
        self.calls: list[str] = []
        self.failures = 0
        self.failure: Exception = Unavailable("driver x is away")

    def records(self) -> Iterator[VolumeAttachment]:
        yield from list(self.disk.values())

    def target(self, volume_id: str) -> Path:
        return Path("/attached") / volume_id / "target"

    async def mount(self, attachment: VolumeAttachment) -> None:
        self.disk[attachment.volume_id] = attachment
        self._note("mount", attachment.volume_id)
        self.mounted.add(attachment.volume_id)

    async def unmount(self, record: VolumeAttachment) -> None:
        self._note("release", record.volume_id)
        self.mounted.discard(record.volume_id)
        self.disk.pop(record.volume_id, None)

    def _note(self, what: str, volume_id: str) -> None:
        self.calls.append(f"{what} {volume_id}")
        if self.failures:
            self.failures -= 1
            raise self.failure


def host_volumes(
    directory: Path,
    now_ms: Callable[[], int],
    mounts: FakeCsiMounter | None = None,
    contents: FileContents | None = None,
) -> HostVolumes:
    """Local volumes on a real disk, and drivers that pretend."""
    notifier = Notifier()
    attached = CsiVolumes(mounts or FakeCsiMounter(), contents or FileContents(), notifier)
    return HostVolumes(local=LocalVolumes(directory, now_ms, notifier), csi=attached, notifier=notifier)
