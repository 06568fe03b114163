"""All volumes of this host, local ones and those of drivers: the worker's `Volumes`, and what managers are told."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping

from agent.news import News
from agent.volumes.attachments import Attachments
from agent.volumes.store import VolumeStore, is_driven
from agent.worker.seams import Part, Report, VolumeSource
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.dispatcher_pb2 import Assignments, VolumeReport
from shoal.task_group import TaskGroup


class HostVolumes:
    """Hands each mount to those who know its kind.

    Args:
        news: rung by both when there is something else to tell.
    """

    def __init__(self, *, local: VolumeStore, attached: Attachments, news: News) -> None:
        self._local = local
        self._attached = attached
        self._news = news

    async def ready(self, container: ContainerSpec, slot: int, report: Report) -> Mapping[str, VolumeSource]:
        """As `agent.worker.seams.Volumes`."""
        driven = [mount for mount in container.mounts if is_driven(mount)]
        found: dict[str, VolumeSource] = {}
        while not all(mount.target in found and self._attached.is_usable(mount.source) for mount in driven):
            found = {mount.target: await self._attached.ready(mount, report) for mount in driven}
        # Nothing waits from here on, so none of those found is taken away before the task says that it has them.
        return {**found, **self._local.ensure(container, slot)}

    def take(self, news: Assignments) -> None:
        """As `agent.worker.seams.Volumes`."""
        self._local.remove(news.removing_volumes)
        self._attached.take(news)

    async def run(self, in_use: Callable[[], Collection[Part]], held: Callable[[], Collection[str]]) -> None:
        """As `agent.worker.seams.Volumes`."""
        async with TaskGroup() as group:
            group.create_task(self._local.run(in_use), name="local volumes")
            group.create_task(self._attached.run(held), name="volumes of drivers")

    async def reports(self) -> AsyncGenerator[VolumeReport]:
        """What is here now, and again after each change."""
        async for _ in self._news.rounds():
            yield VolumeReport(volumes=self._local.held(), publications=self._attached.held())
