"""The node's part of a driver's volume: staged, published, and back, in a directory of its own.

    <directory>/<volume id>/record    VolumeAttachment, which names secrets and has none; written before the first call,
                                      removed after the last
    <directory>/<volume id>/staging   where drivers that stage do so, once a node
    <directory>/<volume id>/target    what containers get; made and removed by the driver

Nothing here is ever deleted recursively: what lies below may be the data.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from google.protobuf.message import DecodeError

from agent.csi.drivers import Drivers
from agent.csi.plugin import capability, reads_only
from agent.csi.v1.csi_pb2 import (
    NodePublishVolumeRequest,
    NodeStageVolumeRequest,
    NodeUnpublishVolumeRequest,
    NodeUnstageVolumeRequest,
)
from agent.volumes.mount_table import hold_shared, mounted_below
from shoal.api.v1.dispatcher_pb2 import VolumeAttachment
from shoal.errors import Refused, Unavailable

_log = logging.getLogger(__name__)


class Secrets(Protocol):
    """`agent.files.contents.FileContents` is one."""

    def present(self, keys: Iterable[str]) -> Mapping[str, bytes]:
        """Contents that have come, by `FileContent.key`."""
        ...


class DriverMounts:
    """Calls of a volume's life on this node; each may be repeated.

    Args:
        directory: becomes a mount of its own with the first volume.
        secrets: what drivers are given with a call.
        mounted_below: mount points at a directory and below it.
    """

    def __init__(
        self,
        directory: Path,
        drivers: Drivers,
        secrets: Secrets,
        *,
        hold: Callable[[Path], None] = hold_shared,
        mounted_below: Callable[[Path], list[Path]] = mounted_below,
    ) -> None:
        self._directory = directory
        self._drivers = drivers
        self._secrets = secrets
        self._hold = hold
        self._mounted_below = mounted_below

    def records(self) -> Iterator[VolumeAttachment]:
        """What may be mounted here. Call it once, at the start."""
        for path in sorted(self._directory.glob("*/record")):
            try:
                yield VolumeAttachment.FromString(path.read_bytes())
            except (OSError, DecodeError) as error:
                _log.error("%s cannot be read, so what may be mounted beside it stays: %s", path, error)

    def target(self, volume_id: str) -> Path:
        """What containers get of a volume that is mounted."""
        return self._directory / volume_id / "target"

    async def mount(self, wanted: VolumeAttachment) -> None:
        """Bring the volume to `target`.

        Raises:
            Unavailable, DriverFailure: the driver, or the host, did not do it; some of it may be done.
            Refused: a secret is nothing that a driver can be given.
        """
        plugin, driver = self._drivers.named(wanted.driver)
        secrets = self._given(wanted)
        await asyncio.to_thread(self._begin, wanted)
        place, mode = self._directory / wanted.volume_id, capability(wanted.access_mode)
        staging = str(place / "staging") if driver.stages else ""
        if driver.stages:
            stage = NodeStageVolumeRequest(
                volume_id=wanted.driver_volume_id,
                publish_context=wanted.publish_context,
                staging_target_path=staging,
                volume_capability=mode,
                volume_context=wanted.volume_context,
                secrets=secrets,
            )
            await plugin.call("NodeStageVolume", plugin.node.NodeStageVolume, stage)
        publish = NodePublishVolumeRequest(
            volume_id=wanted.driver_volume_id,
            publish_context=wanted.publish_context,
            staging_target_path=staging,
            target_path=str(place / "target"),
            volume_capability=mode,
            readonly=reads_only(wanted.access_mode),
            volume_context=wanted.volume_context,
            secrets=secrets,
        )
        await plugin.call("NodePublishVolume", plugin.node.NodePublishVolume, publish)
        if not self._mounted_below(place / "target"):
            raise Unavailable(f"driver {wanted.driver} says that it is published, but nothing is mounted on this node")

    async def release(self, record: VolumeAttachment) -> None:
        """Take everything of it away.

        Raises:
            Unavailable, DriverFailure: the driver, or the host, did not do it; some of it may be done.
        """
        plugin, driver = self._drivers.named(record.driver)
        place = self._directory / record.volume_id
        unpublish = NodeUnpublishVolumeRequest(volume_id=record.driver_volume_id, target_path=str(place / "target"))
        await plugin.call("NodeUnpublishVolume", plugin.node.NodeUnpublishVolume, unpublish)
        if driver.stages:
            staging = str(place / "staging")
            unstage = NodeUnstageVolumeRequest(volume_id=record.driver_volume_id, staging_target_path=staging)
            await plugin.call("NodeUnstageVolume", plugin.node.NodeUnstageVolume, unstage)
        await asyncio.to_thread(self._end, place)

    def _given(self, wanted: VolumeAttachment) -> dict[str, str]:
        contents = self._secrets.present(each.content for each in wanted.secrets)
        found = {}
        for each in wanted.secrets:
            if each.content not in contents:
                raise Unavailable(f"secret {each.name} has not come yet")
            try:
                found[each.key] = contents[each.content].decode()
            except UnicodeDecodeError:  # which would show the bytes
                raise Refused(f"secret {each.name} is not UTF-8 text, and drivers are given nothing else") from None
        return found

    def _begin(self, wanted: VolumeAttachment) -> None:
        place = self._directory / wanted.volume_id
        try:
            self._hold(self._directory)
            # Nothing looks through a mount that is there: its server may not answer, and would hold this thread.
            if place / "staging" not in self._mounted_below(place):
                (place / "staging").mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = place / "record.new"
            draft.write_bytes(wanted.SerializeToString())
            draft.replace(place / "record")
        except OSError as error:
            raise Unavailable(f"cannot prepare {place}: {error.strerror}") from error

    def _end(self, place: Path) -> None:
        if left := self._mounted_below(place):
            raise Unavailable(f"the driver says that it is gone, but {left[-1]} is mounted still")
        try:
            for name in ("target", "staging"):
                with suppress(FileNotFoundError):
                    (place / name).rmdir()
            (place / "record").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                place.rmdir()
        except OSError as error:
            raise Unavailable(f"cannot remove {error.filename}: {error.strerror}") from error
