"""Mounts and unmounts CSI volumes as assigned, and provides them to containers."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

from agent.volumes.csi_volume_step import CsiVolumeFacts, CsiVolumeStep, is_usable, next_step, publication_of
from agent.worker.error_handling import describe_error
from agent.worker.interfaces import MountSource, Report
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.dispatcher_pb2 import Assignments, VolumeAttachment
from shoal.api.v1.volume_pb2 import NodePublication
from shoal.notifier import Notifier
from shoal.task_group import TaskGroup

FIRST_RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 30.0
"""Delay after a failure; it doubles."""

IN_USE_POLL_SECONDS = 0.1
"""Interval of checking whether containers still use a volume."""

_log = logging.getLogger(__name__)


class MountCalls(Protocol):
    """Mounts volumes; `agent.volumes.csi_mounter.CsiMounter` is one."""

    def records(self) -> Iterator[VolumeAttachment]: ...

    def target(self, volume_id: str) -> Path: ...

    async def mount(self, desired: VolumeAttachment) -> None: ...

    async def unmount(self, record: VolumeAttachment) -> None: ...


class SecretKeys(Protocol):
    """Knows which secrets are missing; `agent.files.file_contents.FileContents` is one."""

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Contents that have not been received yet, by `FileContent.key`."""
        ...


class CsiVolumes:
    """Use it from the event loop; `run` must run for anything to happen.

    Args:
        secrets: receives each message before this.
        notifier: notified when the report changes.
    """

    def __init__(self, mounts: MountCalls, secrets: SecretKeys, notifier: Notifier) -> None:
        self._mounts = mounts
        self._secrets = secrets
        self._notifier = notifier
        self._assigned: dict[str, VolumeAttachment] = {}
        self._has_snapshot = False
        self._records = {record.volume_id: record for record in mounts.records()}
        self._mounted: set[str] = set()
        self._problems: dict[str, str] = {}
        self._reconciling: set[str] = set()
        self._wake = asyncio.Event()
        self._mounted_ids: Callable[[], Collection[str]] = frozenset

    def apply(self, message: Assignments) -> None:
        """Apply a manager's message."""
        if message.snapshot:
            self._assigned.clear()
            self._has_snapshot = True
        for volume_id in message.removed_attachments:
            self._assigned.pop(volume_id, None)
        self._assigned.update({each.volume_id: each for each in message.attachments})
        if message.snapshot or message.attachments or message.removed_attachments or (message.files and self._assigned):
            self._notify()

    def publications(self) -> list[NodePublication]:
        """The report for managers, by volume id."""
        reports = (
            publication_of(self._facts(each), each, self._problems.get(each, "")) for each in sorted(self._known())
        )
        return [each for each in reports if each is not None]

    def is_usable(self, volume_id: str) -> bool:
        """Whether a container may mount it now."""
        return is_usable(self._facts(volume_id))

    async def prepare(self, mount: Mount, report: Report) -> MountSource:
        """Wait until a mount's volume is usable; reports the reason while it is not."""
        volume_id, reported = mount.source, ""
        async with aclosing(self._notifier.wakeups()) as wakeups:
            async for _ in wakeups:
                if self.is_usable(volume_id):
                    break
                if reported != (why := self._waiting_reason(mount)):
                    report(reported := why)
        # It is not populated from the image: another node may mount it at any moment, half populated.
        return MountSource(
            data=self._mounts.target(volume_id), options={}, subpath=mount.volume.subpath, populate=False
        )

    async def run(self, mounted: Callable[[], Collection[str]]) -> None:
        """Reconcile until cancelled; mounted volumes stay mounted.

        Args:
            mounted: returns ids of the volumes that containers use now.
        """
        self._mounted_ids = mounted
        async with TaskGroup() as group:
            while True:
                for volume_id in self._known() - self._reconciling:
                    if next_step(self._facts(volume_id)) is not CsiVolumeStep.IDLE:
                        self._reconciling.add(volume_id)
                        group.create_task(self._reconcile(volume_id), name=f"volume {volume_id}")
                await self._wake.wait()
                self._wake.clear()

    async def _reconcile(self, volume_id: str) -> None:
        """Reconcile one volume until it is idle."""
        delay = FIRST_RETRY_SECONDS
        try:
            while (step := next_step(self._facts(volume_id))) is not CsiVolumeStep.IDLE:
                if step is CsiVolumeStep.WAIT_UNUSED:
                    await asyncio.sleep(IN_USE_POLL_SECONDS)
                elif await self._perform(step, volume_id):
                    delay = FIRST_RETRY_SECONDS
                else:
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, MAX_RETRY_SECONDS)
        finally:
            self._reconciling.discard(volume_id)
            self._wake.set()

    async def _perform(self, step: CsiVolumeStep, volume_id: str) -> bool:
        problem = ""
        try:
            await (self._mount(volume_id) if step is CsiVolumeStep.MOUNT else self._unmount(volume_id))
        except Exception as error:
            problem = describe_error(f"volume {volume_id}", error)
            _log.warning("volume %s: could not be %s: %s", volume_id, _STEP_NAMES[step], problem)
        self._problems[volume_id] = problem
        self._notify()
        return not problem

    async def _mount(self, volume_id: str) -> None:
        desired = self._assigned[volume_id]
        self._records[volume_id] = desired
        await self._mounts.mount(desired)
        self._mounted.add(volume_id)

    async def _unmount(self, volume_id: str) -> None:
        self._mounted.discard(volume_id)
        await self._mounts.unmount(self._records[volume_id])
        del self._records[volume_id]

    def _facts(self, volume_id: str) -> CsiVolumeFacts:
        return CsiVolumeFacts(
            assigned=self._assigned.get(volume_id),
            has_snapshot=self._has_snapshot,
            record=self._records.get(volume_id),
            mounted=volume_id in self._mounted,
            in_use=volume_id in self._mounted_ids(),
            has_secrets=not self._missing(volume_id),
        )

    def _waiting_reason(self, mount: Mount) -> str:
        assigned = self._assigned.get(mount.source)
        why = self._problems.get(mount.source) or (assigned.problem if assigned is not None else "")
        if missing := self._missing(mount.source):
            why = why or f"waiting for {', '.join(missing)}"
        return f"volume {mount.volume.name}: {why}" if why else f"waiting for volume {mount.volume.name}"

    def _missing(self, volume_id: str) -> list[str]:
        """Secrets for its driver that have not been received yet, for the user."""
        assigned = self._assigned.get(volume_id)
        named = {each.content_key: f"secret {each.name}" for each in assigned.secrets} if assigned is not None else {}
        return sorted(named[key] for key in self._secrets.missing(named))

    def _known(self) -> set[str]:
        return self._assigned.keys() | self._records.keys()

    def _notify(self) -> None:
        for volume_id in self._problems.keys() - self._known():
            del self._problems[volume_id]
        self._wake.set()
        self._notifier.notify()


_STEP_NAMES = {CsiVolumeStep.MOUNT: "mounted", CsiVolumeStep.RELEASE: "released"}
