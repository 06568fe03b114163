"""What the model believes of placement: counted anew from the records for each question, slowly and plainly.

It shares nothing with the planner but how an expression and a pair of ports are read: no ledger, no ranking, no demand.
"""

from collections.abc import Collection, Iterator, Mapping

from manager.planner.spec.constraints import node_attribute, parse
from manager.planner.spec.effective_spec import effective
from manager.store.tables import View
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Affinity, PublishedPort, Service, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskPort
from shoal.networks.published_ports import candidate_ports, conflict, is_mesh, listens_on
from shoal.task_states import is_live, should_run

_USED = (NodeSpec.AVAILABILITY_UNSPECIFIED, NodeSpec.ACTIVE)


class Oracle:
    """Says which nodes are out of the question for one more task of a service.

    Args:
        service: as it is in force (`effective`).
        gone: ids of tasks that are taken to have ended.
        in_force: the other services as they are in force; as they are now, unless given.
    """

    def __init__(
        self,
        view: View,
        service: Service,
        *,
        gone: Collection[str] = (),
        in_force: Mapping[str, Service] | None = None,
    ) -> None:
        self._view = view
        services = view.services.values()
        self._others = in_force or {each.meta.id: effective(view, each) for each in services}
        self._id = service.meta.id
        self._spec: ServiceSpec = service.spec
        self._gone = gone

    def excludes(self, node_id: str) -> str:
        """Why no task of the service may go to the node; empty when one may."""
        return self.bars(node_id) or self.lacks(node_id)

    def bars(self, node_id: str) -> str:
        """What of the node, and of the company there, keeps it away, whatever is free."""
        node, status = self._view.nodes[node_id], self._view.node_status.get(node_id)
        if status is None or status.state != NodeStatus.READY or node.spec.availability not in _USED:
            return "is not in use"
        placement = self._spec.task.placement
        if not all(parse(text).matches(node, status) for text in placement.constraints):
            return "does not meet a constraint"
        if placement.platforms and status.description.platform not in placement.platforms:
            return "is of another platform"
        if not self._has_devices(status):
            return "lacks a device"
        return self._affinity(node_id)

    def lacks(self, node_id: str) -> str:
        """What of the node is in use."""
        about = self._view.node_status[node_id].description.resources
        ask = self._spec.task.reservations
        if ask.memory_bytes and self._memory(node_id) + ask.memory_bytes > about.memory_bytes:
            return "lacks memory"
        for desired in ask.generic_resources:
            if self._free(node_id, desired.kind, about.generic_resources) < desired.count:
                return f"lacks {desired.kind}"
        most = self._spec.task.placement.max_per_node
        if most and self._spec.HasField("replicated") and self._own(node_id) >= most:
            return "has enough tasks of it"
        return self._port(node_id)

    def _live(self, node_id: str) -> Iterator[Task]:
        for task in self._view.tasks_on(node_id).values():
            if task.id not in self._gone and is_live(task, self._view.task_status.get(task.id)):
                yield task

    def _memory(self, node_id: str) -> int:
        tasks = [self._view.revisions[f"{task.service_id}/{task.revision}"] for task in self._live(node_id)]
        return sum(revision.spec.task.reservations.memory_bytes for revision in tasks)

    def _free(self, node_id: str, kind: str, stock: Collection[GenericResource]) -> int:
        has = sum(len(each.names) or each.count for each in stock if each.kind == kind)
        given = (each for task in self._live(node_id) for each in task.generic_resources if each.kind == kind)
        return has - sum(len(each.names) or each.count for each in given)

    def _own(self, node_id: str) -> int:
        return sum(task.service_id == self._id and should_run(task) for task in self._live(node_id))

    def _port(self, node_id: str) -> str:
        for port in self._spec.endpoint.ports:
            numbers = [port.published] if port.published else candidate_ports(port)
            if not is_mesh(port) and not any(self._has_free(node_id, port, number) for number in numbers):
                return "has the port in use"
        return ""

    def _has_free(self, node_id: str, port: PublishedPort, number: int) -> bool:
        asked = PublishedPort(protocol=port.protocol, published=number, host_address=port.host_address)
        if any(listens_on(listener, asked) for listener in self._view.node_status[node_id].network_condition.listeners):
            return False
        return not any(conflict(asked, _as_asked(held)) for task in self._live(node_id) for held in task.ports)

    def _affinity(self, node_id: str) -> str:
        for affinity in self._spec.task.placement.affinities:
            if not affinity.weight and (reason := self._rule(affinity, node_id)):
                return reason
        for other in self._others.values():
            if other.meta.id == self._id:
                continue
            for affinity in other.spec.task.placement.affinities:
                anti_affine = affinity.anti and not affinity.weight and affinity.service == self._spec.name
                if anti_affine and self._is_near(other.meta.id, affinity.topology_key, node_id):
                    return f"is near {other.spec.name}, which keeps away"
        return ""

    def _rule(self, affinity: Affinity, node_id: str) -> str:
        other = self._view.service_named(affinity.service)
        if other is not None and other.meta.id == self._id:
            return self._self_affinity(affinity, node_id) if self._spec.HasField("replicated") else ""
        near = other is not None and self._is_near(other.meta.id, affinity.topology_key, node_id)
        return "" if near != affinity.anti else f"is in the wrong company as to {affinity.service}"

    def _self_affinity(self, affinity: Affinity, node_id: str) -> str:
        """Away from all live tasks but those that nothing waits for; together with those that stay."""
        key = affinity.topology_key or "node.id"
        mine = self._value(key, node_id)
        homes = {task.node_id for task in self._view.tasks_of(self._id).values() if task.node_id and self._lives(task)}
        if affinity.anti:
            up = {home for home in homes if self._state(home) == NodeStatus.READY}
            return "is near its own" if mine is not None and mine in {self._value(key, home) for home in up} else ""
        desired = [task for task in self._view.tasks_of(self._id).values() if should_run(task) and self._lives(task)]
        stay = {task.node_id for task in desired if task.node_id and not self._is_out(task.node_id)}
        return "is away from its own" if stay and mine not in {self._value(key, home) for home in stay} else ""

    def _is_out(self, node_id: str) -> bool:
        """Whether the node may get no more of the service's tasks by what it is."""
        node, status = self._view.nodes.get(node_id), self._view.node_status.get(node_id)
        if node is None or status is None:
            return True
        placement = self._spec.task.placement
        return (
            status.state != NodeStatus.READY
            or node.spec.availability not in _USED
            or not all(parse(text).matches(node, status) for text in placement.constraints)
            or bool(placement.platforms and status.description.platform not in placement.platforms)
            or not self._has_devices(status)
        )

    def _has_devices(self, status: NodeStatus) -> bool:
        reported = status.description.devices.paths if status.description.HasField("devices") else None
        return reported is None or all(device.source in reported for device in self._spec.task.container.devices)

    def _is_near(self, service_id: str, over: str, node_id: str) -> bool:
        key = over or "node.id"
        homes = [
            task.node_id for task in self._view.tasks_of(service_id).values() if task.node_id and self._lives(task)
        ]
        mine = self._value(key, node_id)
        return mine is not None and mine in {self._value(key, home) for home in homes}

    def _lives(self, task: Task) -> bool:
        return task.id not in self._gone and is_live(task, self._view.task_status.get(task.id))

    def _state(self, node_id: str) -> int:
        status = self._view.node_status.get(node_id)
        return status.state if status is not None else NodeStatus.UNKNOWN

    def _value(self, key: str, node_id: str) -> str | None:
        node, status = self._view.nodes.get(node_id), self._view.node_status.get(node_id)
        if key == "node.id":
            return node_id
        return node_attribute(key, node, status) if node is not None and status is not None else None


def _as_asked(held: TaskPort) -> PublishedPort:
    protocol = PublishedPort.Protocol.ValueType(held.protocol)
    return PublishedPort(protocol=protocol, published=held.published, host_address=held.host_address)
