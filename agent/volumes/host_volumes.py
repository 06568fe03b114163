"""All volumes of this host, local ones and those of drivers: the worker's `Volumes`, and what managers are told."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping

from agent.volumes.csi_volumes import CsiVolumes
from agent.volumes.local_volumes import LocalVolumes, is_csi
from agent.worker.interfaces import MountSource, Report, VolumePart
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.dispatcher_pb2 import Assignments, VolumeReport
from shoal.notifier import Notifier
from shoal.task_group import TaskGroup


class HostVolumes:
    """Hands each mount to those who know its kind.

    Args:
        notifier: rung by both when there is something else to tell.
    """

    def __init__(self, *, local: LocalVolumes, csi: CsiVolumes, notifier: Notifier) -> None:
        self._local = local
        self._csi = csi
        self._notifier = notifier

    async def prepare(self, container: ContainerSpec, slot: int, report: Report) -> Mapping[str, MountSource]:
        """As `agent.worker.interfaces.Volumes`."""
        driven = [mount for mount in container.mounts if is_csi(mount)]
        found: dict[str, MountSource] = {}
        while not all(mount.target in found and self._csi.is_usable(mount.source) for mount in driven):
            found = {mount.target: await self._csi.prepare(mount, report) for mount in driven}
        # Nothing waits from here on, so none of those found is taken away before the task says that it has them.
        return {**found, **self._local.ensure(container, slot)}

    def apply(self, message: Assignments) -> None:
        """As `agent.worker.interfaces.Volumes`."""
        self._local.schedule_removal(message.volumes_to_delete)
        self._csi.apply(message)

    async def run(self, in_use: Callable[[], Collection[VolumePart]], mounted: Callable[[], Collection[str]]) -> None:
        """As `agent.worker.interfaces.Volumes`."""
        async with TaskGroup() as group:
            group.create_task(self._local.run(in_use), name="local volumes")
            group.create_task(self._csi.run(mounted), name="volumes of drivers")

    async def reports(self) -> AsyncGenerator[VolumeReport]:
        """What is here now, and again after each change."""
        async for _ in self._notifier.wakeups():
            yield VolumeReport(volumes=self._local.volumes(), publications=self._csi.publications())
