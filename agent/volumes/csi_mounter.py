"""Stages, publishes, unpublishes and unstages CSI volumes on this node.

    <directory>/<volume id>/record    VolumeAttachment, which names secrets but contains none; written before the
                                      first call, removed after the last
    <directory>/<volume id>/staging   staging path of drivers that stage volumes
    <directory>/<volume id>/target    what containers mount; created and removed by the driver

Nothing is ever deleted recursively here: files below may be the volume's data.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from google.protobuf.message import DecodeError

from agent.csi.driver_client import is_read_only, volume_capability
from agent.csi.driver_registry import DriverRegistry
from agent.csi.v1.csi_pb2 import (
    NodePublishVolumeRequest,
    NodeStageVolumeRequest,
    NodeUnpublishVolumeRequest,
    NodeUnstageVolumeRequest,
)
from agent.volumes.mount_table import bind_shared, mounted_below
from shoal.api.v1.dispatcher_pb2 import VolumeAttachment
from shoal.errors import Refused, Unavailable
from shoal.fault_points.injection import fault

_log = logging.getLogger(__name__)


class SecretContents(Protocol):
    """Contents of secrets; `agent.files.file_contents.FileContents` is one."""

    def present(self, keys: Iterable[str]) -> Mapping[str, bytes]:
        """Received contents, by `FileContent.key`."""
        ...


class CsiMounter:
    """Calls CSI drivers for volumes on this node; each call may be repeated.

    Args:
        directory: becomes a mount point with the first volume.
        secrets: contents of secrets for drivers.
        mounted_below: returns mount points at a directory and below it.
    """

    def __init__(
        self,
        directory: Path,
        drivers: DriverRegistry,
        secrets: SecretContents,
        *,
        bind_shared: Callable[[Path], None] = bind_shared,
        mounted_below: Callable[[Path], list[Path]] = mounted_below,
    ) -> None:
        self._directory = directory
        self._drivers = drivers
        self._secrets = secrets
        self._bind_shared = bind_shared
        self._mounted_below = mounted_below

    def records(self) -> Iterator[VolumeAttachment]:
        """Volumes that may be mounted. Call it once, at the start."""
        for path in sorted(self._directory.glob("*/record")):
            try:
                yield VolumeAttachment.FromString(path.read_bytes())
            except (OSError, DecodeError) as error:
                _log.error("cannot read %s; anything mounted there is left mounted: %s", path, error)

    def target(self, volume_id: str) -> Path:
        """The path of a mounted volume, for containers."""
        return self._directory / volume_id / "target"

    async def mount(self, desired: VolumeAttachment) -> None:
        """Stage and publish the volume at `target`.

        Raises:
            Unavailable, DriverError: the driver, or the host, failed; it may be partly done.
            Refused: a secret cannot be passed to a driver.
        """
        plugin, driver = self._drivers.get(desired.driver)
        secrets = self._secrets_for(desired)
        await asyncio.to_thread(self._write_record, desired)
        fault("agent.csi.recorded")
        place, mode = self._directory / desired.volume_id, volume_capability(desired.access_mode)
        staging = str(place / "staging") if driver.stages_volumes else ""
        if driver.stages_volumes:
            stage = NodeStageVolumeRequest(
                volume_id=desired.driver_volume_id,
                publish_context=desired.publish_context,
                staging_target_path=staging,
                volume_capability=mode,
                volume_context=desired.volume_context,
                secrets=secrets,
            )
            await plugin.call("NodeStageVolume", plugin.node.NodeStageVolume, stage)
            fault("agent.csi.staged")
        publish = NodePublishVolumeRequest(
            volume_id=desired.driver_volume_id,
            publish_context=desired.publish_context,
            staging_target_path=staging,
            target_path=str(place / "target"),
            volume_capability=mode,
            readonly=is_read_only(desired.access_mode),
            volume_context=desired.volume_context,
            secrets=secrets,
        )
        await plugin.call("NodePublishVolume", plugin.node.NodePublishVolume, publish)
        fault("agent.csi.published")
        if not self._mounted_below(place / "target"):
            raise Unavailable(
                f"driver {desired.driver} reports the volume as published, but nothing is mounted on this node"
            )

    async def unmount(self, record: VolumeAttachment) -> None:
        """Unpublish and unstage the volume.

        Raises:
            Unavailable, DriverError: the driver, or the host, failed; it may be partly done.
        """
        plugin, driver = self._drivers.get(record.driver)
        place = self._directory / record.volume_id
        unpublish = NodeUnpublishVolumeRequest(volume_id=record.driver_volume_id, target_path=str(place / "target"))
        await plugin.call("NodeUnpublishVolume", plugin.node.NodeUnpublishVolume, unpublish)
        fault("agent.csi.unpublished")
        if driver.stages_volumes:
            staging = str(place / "staging")
            unstage = NodeUnstageVolumeRequest(volume_id=record.driver_volume_id, staging_target_path=staging)
            await plugin.call("NodeUnstageVolume", plugin.node.NodeUnstageVolume, unstage)
            fault("agent.csi.unstaged")
        await asyncio.to_thread(self._remove_record, place)

    def _secrets_for(self, desired: VolumeAttachment) -> dict[str, str]:
        contents = self._secrets.present(each.content_key for each in desired.secrets)
        found = {}
        for each in desired.secrets:
            if each.content_key not in contents:
                raise Unavailable(f"waiting for secret {each.name}")
            try:
                found[each.key] = contents[each.content_key].decode()
            except UnicodeDecodeError:  # the original error would show the bytes
                raise Refused(f"secret {each.name} must be UTF-8 text to be passed to a driver") from None
        return found

    def _write_record(self, desired: VolumeAttachment) -> None:
        place = self._directory / desired.volume_id
        try:
            self._bind_shared(self._directory)
            # Existing mounts are not accessed: their server may not respond, and would block this thread.
            if place / "staging" not in self._mounted_below(place):
                (place / "staging").mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = place / "record.new"
            draft.write_bytes(desired.SerializeToString())
            draft.replace(place / "record")
        except OSError as error:
            raise Unavailable(f"cannot prepare {place}: {error.strerror}") from error

    def _remove_record(self, place: Path) -> None:
        if mounted := self._mounted_below(place):
            raise Unavailable(f"the driver reports the volume as unpublished, but {mounted[-1]} is still mounted")
        try:
            for name in ("target", "staging"):
                with suppress(FileNotFoundError):
                    (place / name).rmdir()
            (place / "record").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                place.rmdir()
        except OSError as error:
            raise Unavailable(f"cannot remove {error.filename}: {error.strerror}") from error
