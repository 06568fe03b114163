"""The plan while it is being made: what the stages have decided so far, in the order in which it is safe to commit.

Only a prefix of the writes may get committed (the leader may change between two batches), so: allocations first, then
stops and deletions, then new tasks, then statuses, and last the records that nothing refers to any more.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from manager.planner.index.resource_index import ResourceIndex
from manager.planner.index.slot_index import SlotIndex
from manager.planner.reason_updates import debounce_problems
from manager.store import kinds
from manager.store.changes import Write, delete, put
from manager.store.tables import View
from shoal.api.v1.network_pb2 import NetworkAllocation
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import ServiceStatus
from shoal.api.v1.standalone_pb2 import ContainerRestart, ContainerStop
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskState
from shoal.api.v1.volume_pb2 import VolumeHome
from shoal.ids import NewId
from shoal.task_states import observed_state

V = TypeVar("V")


class Draft:
    """Gathers writes, times at which to plan services again, and services with pending tasks."""

    def __init__(
        self, *, view: View, resources: ResourceIndex, slot_index: SlotIndex, now_ms: int, new_id: NewId
    ) -> None:
        self.view = view
        self.resources = resources
        self.slot_index = slot_index
        self.now_ms = now_ms
        self.new_id = new_id
        self.timers: dict[str, int] = {}
        self.blocked: set[str] = set()
        self._cache: dict[Hashable, Any] = {}
        self._down: dict[str, NodeStatus | None] = {}
        self._drained: dict[str, bool] = {}
        self._allocations: dict[str, NetworkAllocation | None] = {}
        self._volume_homes: dict[str, VolumeHome] = {}
        self._changed_tasks: dict[str, Task] = {}
        self._deleted: dict[str, None] = {}
        self._new_tasks: dict[str, Task] = {}
        self._statuses: dict[str, ServiceStatus] = {}
        self._status_details: dict[str, ServiceStatus] = {}
        self._final_deletes: list[Write] = []

    def cached(self, key: Hashable, make: Callable[[], V]) -> V:
        """Something that is the same for the whole pass, computed when it is first asked for."""
        if key not in self._cache:
            self._cache[key] = make()
        found: V = self._cache[key]
        return found

    def down_status(self, node_id: str) -> NodeStatus | None:
        """The node's status when it is down; looked up once a pass."""
        if node_id not in self._down:
            status = self.view.node_status.get(node_id)
            self._down[node_id] = status if status is not None and status.state == NodeStatus.DOWN else None
        return self._down[node_id]

    def is_drained(self, node_id: str) -> bool:
        """Whether the node's tasks are to move elsewhere; looked up once a pass."""
        if node_id not in self._drained:
            node = self.view.nodes.get(node_id)
            self._drained[node_id] = node is not None and node.spec.availability == NodeSpec.DRAIN
        return self._drained[node_id]

    def drain_deadline_ms(self, node_id: str) -> int | None:
        """The deadline of the node's drain; None when it is not drained, or its drain has none."""
        return (self.view.nodes[node_id].spec.drain_deadline_ms or None) if self.is_drained(node_id) else None

    def state(self, task: Task) -> int:
        """The observed state (a TaskState value)."""
        return observed_state(task, self.view.task_status.get(task.id))

    def hostname(self, node_id: str) -> str:
        """The node's name for texts; its id while it has never connected."""
        status = self.view.node_status.get(node_id)
        return (status.description.hostname if status is not None else "") or node_id

    def requeue_at(self, service_id: str, at_ms: int) -> None:
        """Plan the service again at that time at the latest."""
        self.timers[service_id] = min(self.timers.get(service_id, at_ms), at_ms)

    def stop(self, task: Task, desired: TaskState.ValueType, reason: str, how: ContainerStop | None = None) -> None:
        """Request a stop: SHUTDOWN keeps the task as history, REMOVE deletes it once ended. An earlier REMOVE stays.

        Args:
            how: with which signal, and how long it has; None: as its spec says.
        """
        current = self._changed_tasks.get(task.id, task)
        if task.id in self._deleted or current.desired_state >= desired:
            return
        if not task.node_id:
            self.delete_task(task)  # no agent has it, so none will report its end
            return
        changed = Task()
        changed.CopyFrom(current)
        changed.desired_state = desired
        changed.reason = reason
        changed.stopped_at_ms = changed.stopped_at_ms or self.now_ms
        if how is not None:
            changed.stop.CopyFrom(how)
        self._changed_tasks[task.id] = changed

    def change_stop(self, task: Task, how: ContainerStop) -> None:
        """Stop a task that is stopping already with another signal, or another time."""
        changed = Task()
        changed.CopyFrom(self._changed_tasks.get(task.id, task))
        changed.stop.CopyFrom(how)
        self._changed_tasks[task.id] = changed

    def adopt(self, task: Task, revision: int, addresses: Iterable[TaskAddress], restart: ContainerRestart) -> None:
        """Record that a container's run follows this revision from now on, with these addresses and restart policy."""
        changed = Task()
        changed.CopyFrom(self._changed_tasks.get(task.id, task))
        changed.revision = revision
        changed.restart.CopyFrom(restart)
        del changed.addresses[:]
        changed.addresses.extend(addresses)
        self._changed_tasks[task.id] = changed

    def set_revision(self, task: Task, revision: int) -> None:
        """Record that the task runs this revision too: it has the same template as the task's own."""
        changed = Task()
        changed.CopyFrom(self._changed_tasks.get(task.id, task))
        changed.revision = revision
        self._changed_tasks[task.id] = changed

    def orphan(self, task: Task, reason: str) -> None:
        """Give the task up together with its node."""
        changed = Task()
        changed.CopyFrom(self._changed_tasks.get(task.id, task))
        changed.state = TaskState.ORPHANED
        changed.desired_state = max(changed.desired_state, TaskState.SHUTDOWN)
        changed.reason = reason
        changed.stopped_at_ms = changed.stopped_at_ms or self.now_ms
        self._changed_tasks[task.id] = changed

    def delete_task(self, task: Task) -> None:
        """Delete the task and its status."""
        self._changed_tasks.pop(task.id, None)
        self._deleted[task.id] = None

    def is_stopping(self, task: Task) -> bool:
        """Whether this plan stops the task, or deletes it."""
        stopped = self._changed_tasks.get(task.id)
        return task.id in self._deleted or (stopped is not None and stopped.desired_state > TaskState.RUNNING)

    def desired(self, task: Task) -> int:
        """The task's desired state once this plan is committed (a TaskState value)."""
        return TaskState.REMOVE if task.id in self._deleted else self._changed_tasks.get(task.id, task).desired_state

    def is_deleted(self, task: Task) -> bool:
        """Whether this plan deletes it."""
        return task.id in self._deleted

    def new_task(self, identifier: str) -> Task | None:
        """A task as this plan writes it; None when it writes none of this id."""
        return self._new_tasks.get(identifier)

    def write_task(self, identifier: str, task: Task) -> None:
        """Write a new task, or a pending one again. What it uses has been claimed in the index."""
        self._new_tasks[identifier] = task

    def allocate(self, network_id: str, allocation: NetworkAllocation | None) -> None:
        """Write a network's allocation, or delete it."""
        self._allocations[network_id] = allocation

    def allocation(self, network_id: str) -> NetworkAllocation | None:
        """As it will be once this plan is committed."""
        if network_id in self._allocations:
            return self._allocations[network_id]
        return self.view.allocations.get(network_id)

    def set_volume_home(self, home: VolumeHome) -> None:
        """Write the home of a slot's volume, before any task that needs it."""
        self._volume_homes[f"{home.volume_id}/{home.slot}"] = home

    def volume_home(self, volume_id: str, slot: int) -> VolumeHome | None:
        """As it will be once this plan is committed."""
        key = f"{volume_id}/{slot}"
        return self._volume_homes.get(key) or self.view.volume_homes.get(key)

    def add_status_detail(self, detail: ServiceStatus) -> None:
        """What a stage before the service's own pass adds to its status."""
        self._status_details[detail.service_id] = detail

    def write_status(self, status: ServiceStatus) -> None:
        """Write the service's status unless it is already so."""
        if detail := self._status_details.get(status.service_id):
            status.MergeFrom(detail)
        known = self.view.service_status.get(status.service_id)
        due = debounce_problems(status, known, now_ms=self.now_ms)
        if due is not None:
            self.requeue_at(status.service_id, due)
        if known != status and (known is not None or len(status.ListFields()) > 1):
            self._statuses[status.service_id] = status

    def delete_last(self, write: Write) -> None:
        """Delete a record that nothing refers to once everything else is committed."""
        self._final_deletes.append(write)

    def writes(self) -> tuple[Write, ...]:
        """All of it in a safe order."""
        found: list[Write] = []
        for network_id, allocation in self._allocations.items():
            found.append(_allocation_write(network_id, allocation))
        found += (put(kinds.VOLUME_HOME, key, home) for key, home in self._volume_homes.items())
        found += (put(kinds.TASK, task.id, task) for task in self._changed_tasks.values())
        for identifier in self._deleted:
            found.append(delete(kinds.TASK, identifier))
            found.append(delete(kinds.TASK_STATUS, identifier))
        found += [put(kinds.TASK, identifier, task) for identifier, task in self._new_tasks.items()]
        found += (put(kinds.SERVICE_STATUS, status.service_id, status) for status in self._statuses.values())
        return (*found, *self._final_deletes)


def _allocation_write(network_id: str, allocation: NetworkAllocation | None) -> Write:
    if allocation is None:
        return delete(kinds.ALLOCATION, network_id)
    return put(kinds.ALLOCATION, network_id, allocation)
