"""The plan while it is being made: what the stages have decided so far, in the order in which it is safe to commit.

Only a beginning of the writes may get committed (the leader may change between two batches), so: allocations first,
then stops and deletions, then new tasks, then what tells of them, and last the records that nothing names any more.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from manager.planner.affinity import Shy, shy_services
from manager.planner.demand import Demand
from manager.planner.filters import standing
from manager.planner.ledger import Host, Ledger
from manager.planner.ranking import Ranking
from manager.planner.reasons import renew
from manager.planner.rolls import Rolls
from manager.store import kinds
from manager.store.changes import Write, delete, put
from manager.store.tables import View
from shoal.api.v1.network_pb2 import NetworkAllocation
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import ServiceStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.api.v1.volume_pb2 import VolumeSlot
from shoal.ids import NewId
from shoal.task_states import observed

V = TypeVar("V")


class Draft:
    """Gathers writes, times to wake at and services with tasks that found no node."""

    def __init__(self, *, view: View, ledger: Ledger, rolls: Rolls, now_ms: int, new_id: NewId) -> None:
        self.view = view
        self.ledger = ledger
        self.rolls = rolls
        self.now_ms = now_ms
        self.new_id = new_id
        self.timers: dict[str, int] = {}
        self.unplaced: set[str] = set()
        self.effects = 0
        """Rises with each decision, also with one that is drafted already."""
        self._made: dict[str, Any] = {}
        self._down: dict[str, NodeStatus | None] = {}
        self._drained: dict[str, bool] = {}
        self._allocations: dict[str, NetworkAllocation | None] = {}
        self._slot_volumes: dict[str, VolumeSlot] = {}
        self._stops: dict[str, Task] = {}
        self._forgotten: dict[str, None] = {}
        self._tasks: dict[str, Task] = {}
        self._statuses: dict[str, ServiceStatus] = {}
        self._amendments: dict[str, ServiceStatus] = {}
        self._last: list[Write] = []
        self._shy: dict[str, list[Shy]] | None = None
        self._rankings: dict[Hashable, Ranking] = {}

    def once(self, what: str, make: Callable[[], V]) -> V:
        """Something that is the same for the whole pass, made when it is first asked for."""
        if what not in self._made:
            self._made[what] = make()
        found: V = self._made[what]
        return found

    def down(self, node_id: str) -> NodeStatus | None:
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

    def drain_by_ms(self, node_id: str) -> int | None:
        """Until when the node's drain is gentle; None when it is not drained, or takes the time that it takes."""
        return (self.view.nodes[node_id].spec.drain_by_ms or None) if self.is_drained(node_id) else None

    def state(self, task: Task) -> int:
        """The observed state (a TaskState value)."""
        return observed(task, self.view.task_status.get(task.id))

    def hostname(self, node_id: str) -> str:
        """To be told to users; the id of a node that was never heard of."""
        status = self.view.node_status.get(node_id)
        return (status.description.hostname if status is not None else "") or node_id

    def wake(self, service_id: str, at_ms: int) -> None:
        """The service is to be planned again at that time at the latest."""
        self.effects += 1
        self.timers[service_id] = min(self.timers.get(service_id, at_ms), at_ms)

    def stop(self, task: Task, desired: TaskState.ValueType, reason: str) -> None:
        """Want the task stopped: SHUTDOWN keeps it as history, REMOVE forgets it. An earlier REMOVE stays."""
        current = self._stops.get(task.id, task)
        if task.id in self._forgotten or current.desired_state >= desired:
            return
        self.effects += 1
        if not task.node_id:
            self.forget(task)  # no agent has seen it, so none will tell of its end
            return
        changed = Task()
        changed.CopyFrom(current)
        changed.desired_state = desired
        changed.reason = reason
        changed.stopped_at_ms = changed.stopped_at_ms or self.now_ms
        self._stops[task.id] = changed

    def renumber(self, task: Task, revision: int) -> None:
        """The task runs this revision too: it has the same template as the task's own."""
        self.effects += 1
        changed = Task()
        changed.CopyFrom(self._stops.get(task.id, task))
        changed.revision = revision
        self._stops[task.id] = changed

    def orphan(self, task: Task, reason: str) -> None:
        """Give the task up with its node."""
        self.effects += 1
        changed = Task()
        changed.CopyFrom(self._stops.get(task.id, task))
        changed.state = TaskState.ORPHANED
        changed.desired_state = max(changed.desired_state, TaskState.SHUTDOWN)
        changed.reason = reason
        changed.stopped_at_ms = changed.stopped_at_ms or self.now_ms
        self._stops[task.id] = changed

    def forget(self, task: Task) -> None:
        """Delete the task and its status."""
        self.effects += 1
        self._stops.pop(task.id, None)
        self._forgotten[task.id] = None

    def is_stopping(self, task: Task) -> bool:
        """Whether this plan stops it, or forgets it."""
        stopped = self._stops.get(task.id)
        return task.id in self._forgotten or (stopped is not None and stopped.desired_state > TaskState.RUNNING)

    def desired(self, task: Task) -> int:
        """What is wanted of the task once this plan is committed (a TaskState value)."""
        return TaskState.REMOVE if task.id in self._forgotten else self._stops.get(task.id, task).desired_state

    def is_forgotten(self, task: Task) -> bool:
        """Whether this plan deletes it."""
        return task.id in self._forgotten

    def add(self, identifier: str, task: Task) -> None:
        """Write a new task, or a pending one anew. What it holds has been claimed in the ledger."""
        self._tasks[identifier] = task

    def shy_of(self, name: str) -> Sequence[Shy]:
        """Services whose tasks have to be away from those of the service with this name."""
        if self._shy is None:
            self._shy = shy_services(self.view)
        return self._shy.get(name, ())

    def ranked(self, demand: Demand) -> Sequence[Host]:
        """Nodes that pass the demand's standing filters, the least loaded first. Like demands share one sort.

        The list stays as it is until it is asked for again.
        """
        key = demand.constraints, demand.platforms, demand.encrypted, demand.ipv6, demand.devices
        ranking = self._rankings.get(key)
        if ranking is None:
            fit = [host for host in self.ledger.hosts.values() if standing(host, demand) is None]
            ranking = self._rankings[key] = Ranking(fit, self.ledger.touched)
        return ranking.hosts()

    def allocate(self, network_id: str, allocation: NetworkAllocation | None) -> None:
        """Write a network's allocation, or delete it."""
        self._allocations[network_id] = allocation

    def allocation(self, network_id: str) -> NetworkAllocation | None:
        """As it will be once this plan is committed."""
        if network_id in self._allocations:
            return self._allocations[network_id]
        return self.view.allocations.get(network_id)

    def settle_volume(self, place: VolumeSlot) -> None:
        """Write where a slot's volume lies, before any task that needs it."""
        self._slot_volumes[f"{place.volume_id}/{place.slot}"] = place

    def slot_volume(self, volume_id: str, slot: int) -> VolumeSlot | None:
        """As it will be once this plan is committed."""
        key = f"{volume_id}/{slot}"
        return self._slot_volumes.get(key) or self.view.volume_slots.get(key)

    def amend(self, more: ServiceStatus) -> None:
        """What a stage before the service's own pass has to say in its status."""
        self._amendments[more.service_id] = more

    def tell(self, status: ServiceStatus) -> None:
        """Write the service's status unless it is already so."""
        if more := self._amendments.get(status.service_id):
            status.MergeFrom(more)
        known = self.view.service_status.get(status.service_id)
        due = renew(status, known, now_ms=self.now_ms)
        if due is not None:
            self.wake(status.service_id, due)
        if known != status and (known is not None or len(status.ListFields()) > 1):
            self._statuses[status.service_id] = status

    def bury(self, write: Write) -> None:
        """Delete a record that nothing names once everything else is committed."""
        self._last.append(write)

    def writes(self) -> tuple[Write, ...]:
        """All of it in a safe order."""
        found: list[Write] = []
        for network_id, allocation in self._allocations.items():
            found.append(_allocation_write(network_id, allocation))
        found += (put(kinds.VOLUME_SLOT, key, place) for key, place in self._slot_volumes.items())
        found += (put(kinds.TASK, task.id, task) for task in self._stops.values())
        for identifier in self._forgotten:
            found.append(delete(kinds.TASK, identifier))
            found.append(delete(kinds.TASK_STATUS, identifier))
        found += [put(kinds.TASK, identifier, task) for identifier, task in self._tasks.items()]
        found += (put(kinds.SERVICE_STATUS, status.service_id, status) for status in self._statuses.values())
        return (*found, *self._last)


def _allocation_write(network_id: str, allocation: NetworkAllocation | None) -> Write:
    if allocation is None:
        return delete(kinds.ALLOCATION, network_id)
    return put(kinds.ALLOCATION, network_id, allocation)
