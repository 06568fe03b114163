"""All volumes of this host, local and CSI: the worker's `Volumes`, and the reports for managers."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping

from agent.volumes.csi_volumes import CsiVolumes
from agent.volumes.local_volumes import LocalVolumes, is_csi
from agent.worker.interfaces import MountSource, Report, VolumePart
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.dispatcher_pb2 import Assignments, VolumeReport
from shoal.notifier import Notifier
from shoal.task_group import TaskGroup


class HostVolumes:
    """Delegates each mount to its kind of volume.

    Args:
        notifier: notified by both when the report changes.
    """

    def __init__(self, *, local: LocalVolumes, csi: CsiVolumes, notifier: Notifier) -> None:
        self._local = local
        self._csi = csi
        self._notifier = notifier

    async def prepare(self, container: ContainerSpec, slot: int, report: Report) -> Mapping[str, MountSource]:
        """As `agent.worker.interfaces.Volumes`."""
        csi_mounts = [mount for mount in container.mounts if is_csi(mount)]
        found: dict[str, MountSource] = {}
        while not all(mount.target in found and self._csi.is_usable(mount.source) for mount in csi_mounts):
            found = {mount.target: await self._csi.prepare(mount, report) for mount in csi_mounts}
        # Nothing waits from here on, so none of these is released before the task counts as using them.
        return {**found, **self._local.ensure(container, slot)}

    def apply(self, message: Assignments) -> None:
        """As `agent.worker.interfaces.Volumes`."""
        self._local.schedule_removal(message.volumes_to_delete)
        self._csi.apply(message)

    async def run(self, in_use: Callable[[], Collection[VolumePart]], mounted: Callable[[], Collection[str]]) -> None:
        """As `agent.worker.interfaces.Volumes`."""
        async with TaskGroup() as group:
            group.create_task(self._local.run(in_use), name="local volumes")
            group.create_task(self._csi.run(mounted), name="CSI volumes")

    async def reports(self) -> AsyncGenerator[VolumeReport]:
        """The current report, and a new one after each change."""
        async for _ in self._notifier.wakeups():
            yield VolumeReport(volumes=self._local.volumes(), publications=self._csi.publications())
