"""The calls about running containers: usage, pausing, limits, processes."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.container_table import ContainerTable
from agent.runtime.kernel.cgroups import Cgroups, ContainerStats
from agent.runtime.kernel.usage_counters import read_links
from agent.runtime.live.limits import LiveLimits
from agent.runtime.live.pause import set_paused
from agent.runtime.live.process_table import ProcessTable, process_table
from agent.runtime.rootfs.root_locks import complete_in_thread
from agent.runtime.supervision.exit_watcher import ExitWatcher
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.streams_pb2 import UsageCounters
from shoal.errors import NotFound


class RunningContainers:
    """For one event loop."""

    def __init__(
        self,
        *,
        paths: ContainerPaths,
        cgroups: Cgroups,
        containers: ContainerTable,
        exit_watcher: ExitWatcher,
        limits: LiveLimits,
    ) -> None:
        self._paths = paths
        self._cgroups = cgroups
        self._containers = containers
        self._exit_watcher = exit_watcher
        self._limits = limits

    def record(self, task_id: str) -> ContainerRecord:
        """The record of a running container. Raises NotFound if it is not running."""
        if not self._exit_watcher.is_running(task_id):
            raise NotFound(f"task {task_id} is not running")
        return self._containers.record(task_id)

    def task_of(self, own_id: str) -> str:
        """The task of a running container, by the id of either. Raises NotFound if it is not running."""
        return self.record(self._containers.holder(own_id) or own_id).task_id

    async def stats(self, task_ids: Iterable[str]) -> Mapping[str, ContainerStats]:
        """Current usage of these containers; unknown ones are omitted."""
        desired = tuple(task_ids)
        read = await asyncio.to_thread(lambda: [(task_id, self._cgroups.stats(task_id)) for task_id in desired])
        return {task_id: stats for task_id, stats in read if stats is not None}

    async def counters(self, task_ids: Iterable[str]) -> Mapping[str, UsageCounters]:
        """What the kernel has counted of these containers; those that do not run are omitted."""
        running = [self.record(task_id) for task_id in task_ids if self._exit_watcher.is_running(task_id)]
        return await asyncio.to_thread(lambda: {record.task_id: self._counters(record) for record in running})

    def _counters(self, record: ContainerRecord) -> UsageCounters:
        found = self._cgroups.counters(record.task_id)
        found.links.extend(read_links(record.pid))
        return found

    async def set_paused(self, task_id: str, paused: bool, *, briefly: bool = False) -> None:
        """As `Runtime.set_paused`."""
        bundle = self._paths.bundle(self.record(task_id).task_id)
        await complete_in_thread(set_paused, self._cgroups, bundle, paused, briefly=briefly)

    async def is_paused(self, task_id: str) -> bool:
        """As `Runtime.is_paused`."""
        return await asyncio.to_thread(self._cgroups.is_frozen, task_id)

    async def set_limits(self, task_id: str, spec: ContainerSpec, limits: Resources) -> None:
        """As `Runtime.set_limits`."""
        await self._limits.apply(self.record(task_id), spec, limits)

    async def processes(self, own_id: str, ps_args: Sequence[str]) -> ProcessTable:
        """The processes of a running container, by its id or its task's. As `process_table`."""
        task_id = self.task_of(own_id)
        return await asyncio.to_thread(process_table, self._cgroups.processes(task_id), ps_args)
