"""Stats: resource usage of tasks, sampled at an interval."""

import asyncio
from collections.abc import AsyncGenerator

from manager.agents.usage_reader import ResourceUsage, UsageReader, UsageSource
from manager.logs.log_sources import find_target
from manager.records.object_lookup import find_node, hostname_of, is_in_stack
from manager.store.record_store import RecordReader
from manager.store.tables import View
from manager.validation import bounds
from shoal.api.v1.control_pb2 import StatsRequest, StatsResponse, TaskStats
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import Fault, InvalidInput
from shoal.rpc.caller import Caller
from shoal.task_states import observed_state, task_name

INTERVAL_MS = 1_000
_MIN_MS, _MAX_MS = 200, 60_000


class StatsHandler:
    """The call `Stats`. Usage is measured only while a client asks for it."""

    def __init__(self, *, store: RecordReader, usage_source: UsageSource) -> None:
        self._store = store
        self._usage_source = usage_source

    async def watch(self, request: StatsRequest, caller: Caller) -> AsyncGenerator[StatsResponse, None]:
        """A response each interval; services and tasks that are created later are included.

        Raises:
            NotFound, InvalidInput: a service, task or node does not exist, or the reference is ambiguous.
        """
        interval = (request.interval_ms or INTERVAL_MS) / 1000
        if not _MIN_MS <= interval * 1000 <= _MAX_MS:
            raise InvalidInput(
                [
                    Fault(
                        "interval_ms",
                        f"{request.interval_ms} is out of range; must be between {_MIN_MS} and {_MAX_MS}",
                    )
                ]
            )
        view = self._store.tables
        reader = UsageReader(view=lambda: view, source=self._usage_source, counters=request.counters)
        await reader.read(selected_tasks(view, request))
        while True:
            await asyncio.sleep(interval)
            tasks = selected_tasks(view, request)
            uses, warnings = await reader.read(tasks)
            rows = [_row(view, task, uses[task.id]) for task in tasks if task.id in uses]
            yield StatsResponse(tasks=rows, warnings=warnings)


def selected_tasks(view: View, request: StatsRequest) -> list[Task]:
    """The requested running tasks, ordered by service, slot and ID. Raises as `StatsHandler.watch`."""
    if len(request.targets) > bounds.TARGETS_IN_CALL:
        raise InvalidInput(f"{len(request.targets)} targets in one request; the maximum is {bounds.TARGETS_IN_CALL}")
    node_id = find_node(view, request.node).meta.id if request.node else ""
    targets = [find_target(view, reference) for reference in request.targets]
    owners = {target.service_id or target.container_id for target in targets} - {""}
    tasks = {target.task_id for target in targets if target.task_id}
    found = []
    for task in (view.tasks_on(node_id) if node_id else view.tasks).values():
        if targets and task.service_id not in owners and task.id not in tasks:
            continue
        if request.stack and not is_in_stack(view, task, request.stack):
            continue
        if observed_state(task, view.task_status.get(task.id)) == TaskState.RUNNING:
            found.append(task)
    return sorted(found, key=lambda task: (_service_name(view, task), task.slot, task.id))


def _service_name(view: View, task: Task) -> str:
    service = view.services.get(task.service_id)
    return service.spec.name if service is not None else task.service_id


def _name(view: View, task: Task) -> str:
    container = view.containers.get(task.container_id)
    return container.name if container is not None else task_name(_service_name(view, task), task)


def _row(view: View, task: Task, usage: ResourceUsage) -> TaskStats:
    revision = view.revision_of(task.service_id, task.revision)
    limits = revision.spec.task.limits if revision is not None else None
    return TaskStats(
        task_id=task.id,
        name=_name(view, task),
        node_hostname=hostname_of(view, task.node_id),
        nano_cpus=usage.nano_cpus,
        memory_bytes=usage.memory_bytes,
        pids=usage.pids,
        limit_nano_cpus=limits.nano_cpus if limits is not None else 0,
        limit_memory_bytes=limits.memory_bytes if limits is not None else 0,
        counters=usage.counters,
    )
