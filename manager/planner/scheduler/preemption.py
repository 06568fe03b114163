"""Preemption: stops tasks of services with a lower priority to make room for pending tasks.

A task that waits for preempted ones stays PENDING, and each pass reserves the room for it against services of lower
priority, which are planned after it. So others do not get what was released, and nothing is preempted twice. Only tasks
of a strictly lower priority are preempted, so there are no cycles. At most `MAX_PENDING` tasks of a service wait so.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from manager.planner.draft import Draft
from manager.planner.index.resource_index import NodeUsage, is_port_taken
from manager.planner.scheduler.node_filters import free_ports, listener_at
from manager.planner.spec.requirements import Requirements
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_live, should_run

MAX_PENDING = 10
_MAX_NODES = 500
_MAX_VICTIMS = 8


@dataclass(frozen=True)
class _Candidate:
    """A node where a task would fit without the victims; tasks that are stopping already cost nothing."""

    host: NodeUsage
    victims: tuple[Task, ...]
    worst: int

    def cost(self) -> tuple[int, int, tuple[float, int, str]]:
        return self.worst, len(self.victims), self.host.rank()


class Preemption:
    """Preempts for the tasks of one service.

    Args:
        service: its name, for the reason of preempted tasks.
        spared: names of services that it has an affinity to: without their tasks the room would be of no use.
    """

    def __init__(self, draft: Draft, demand: Requirements, *, service: str, spared: Collection[str] = ()) -> None:
        self._draft, self._demand, self._service = draft, demand, service
        self._spared = {other.meta.id for name in spared if (other := draft.view.service_named(name)) is not None}
        self._left = MAX_PENDING

    def preempt(self, hosts: Sequence[NodeUsage], counts: Mapping[str, int]) -> NodeUsage | None:
        """Stop tasks on one of the nodes; that node, or None when none helps, or enough tasks wait already."""
        if not self._left or not any(True for _ in self._lower_priority()):
            return None
        found = [room for host in hosts[:_MAX_NODES] if (room := self._candidate(host, counts.get(host.id, 0)))]
        if not found:
            return None
        self._left -= 1
        best = min(found, key=_Candidate.cost)
        for task in best.victims:
            reason = f"preempted by service {self._service} with priority {self._demand.priority}"
            self._draft.stop(task, TaskState.SHUTDOWN, reason)
        return best.host

    def _lower_priority(self) -> Iterable[str]:
        services = self._draft.view.services.items()
        return (identifier for identifier, service in services if service.spec.priority < self._demand.priority)

    def _candidate(self, host: NodeUsage, same_service: int) -> _Candidate | None:
        if self._demand.max_per_node and same_service >= self._demand.max_per_node:
            return None
        if any(listener_at(host, port) for port in self._demand.ports):
            return None  # no end of a task releases that port
        leaving: list[Task] = []
        preemptible: list[tuple[int, int, Task]] = []
        for task in self._draft.view.tasks_on(host.id).values():
            service = self._draft.view.services.get(task.service_id)
            priority = service.spec.priority if service is not None else -(1 << 31)
            if task.container_id or not is_live(task, self._draft.view.task_status.get(task.id)):
                continue  # a container would not be started anywhere else
            if self._draft.is_stopping(task) or not should_run(task):
                leaving.append(task)
            elif priority < self._demand.priority and task.service_id not in self._spared:
                preemptible.append((priority, -task.created_at_ms, task))
        preemptible.sort(key=lambda entry: (*entry[:2], entry[2].id))
        return self._fewest_victims(host, leaving, preemptible)

    def _fewest_victims(
        self, host: NodeUsage, leaving: list[Task], preemptible: list[tuple[int, int, Task]]
    ) -> _Candidate | None:
        victims: list[Task] = []
        worst = -(1 << 31)
        for priority, _, task in [*preemptible[:_MAX_VICTIMS], (0, 0, None)]:
            if self._fits_without(host, [*leaving, *victims]):
                return _Candidate(host, tuple(victims), worst)
            if task is not None:
                victims.append(task)
                worst = priority
        return None

    def _fits_without(self, host: NodeUsage, gone: Sequence[Task]) -> bool:
        demand, sizes = self._demand, [self._draft.resources.size(self._draft.view, task) for task in gone]
        if demand.cpus and host.used_cpus - sum(cpus for cpus, _ in sizes) + demand.cpus > host.cpus:
            return False
        if demand.memory and host.used_memory - sum(memory for _, memory in sizes) + demand.memory > host.memory:
            return False
        for kind, desired in demand.generic.items():
            names = demand.generic_names.get(kind, ())
            given = [each for task in gone for each in task.generic_resources if each.kind == kind]
            freed = sum(len(set(each.names).intersection(names or each.names)) or each.count for each in given)
            if host.generic.available(kind, names) + freed < desired:
                return False
        kept = host.ports - {(port.protocol, port.published, port.host_address) for task in gone for port in task.ports}
        fixed = [port for port in demand.ports if port.published]
        if any(is_port_taken(kept, port.protocol, port.published, port.host_address) for port in fixed):
            return False
        chosen = (port for port in demand.ports if port.published_first)
        return all(next(free_ports(host, port, kept), None) is not None for port in chosen)
