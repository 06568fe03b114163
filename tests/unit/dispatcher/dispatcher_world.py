"""Records for the tests of the dispatcher, and agents that apply what they are sent."""

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import Message

from agent.assignments.assigned_state import AssignedState
from manager.dispatcher.assignments.node_assignments import NodeAssignments
from manager.store.changes import Change
from manager.store.kinds import ALLOCATION, NETWORK, NODE, NODE_STATUS, REVISION, TASK, TASK_STATUS, Kind
from manager.store.tables import Tables
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskState, TaskStatus

M = TypeVar("M", bound=Message)
NODES = ("n1", "n2", "n3")


class World:
    """Tables that a test writes to; keeps the changes for the index."""

    def __init__(self) -> None:
        self.tables = Tables()

    def put(self, kind: Kind[M], identifier: str, value: M | None) -> Change:
        """Write, or delete when the value is None."""
        change = Change(kind, identifier, self.tables.rows(kind).get(identifier), value)  # type: ignore[arg-type]
        self.tables.apply([change], self.tables.revision + 1)
        return change

    def node(self, node_id: str, *, address: str = "192.0.2.1") -> list[Change]:
        described = NodeDescription(address=address, vtep_mac=f"02:56:{address}")
        status = NodeStatus(node_id=node_id, state=NodeStatus.READY, description=described)
        return [
            self.put(NODE, node_id, Node(meta=Meta(id=node_id))),
            self.put(NODE_STATUS, node_id, status),
        ]

    def network(self, network_id: str, *, internal: bool = False) -> list[Change]:
        spec = NetworkSpec(name=f"net-{network_id}", internal=internal)
        return [
            self.put(NETWORK, network_id, Network(meta=Meta(id=network_id), spec=spec)),
            self.put(ALLOCATION, network_id, NetworkAllocation(network_id=network_id, subnet="10.0.0.0/24")),
        ]

    def revision(self, service_id: str, number: int, networks: Sequence[str] = ()) -> list[Change]:
        attachments = [NetworkAttachment(network=name, aliases=[f"alias-{name}"]) for name in networks]
        spec = ServiceSpec(name=f"name-{service_id}", task=TaskTemplate(networks=attachments))
        record = ServiceRevision(service_id=service_id, number=number, spec=spec)
        return [self.put(REVISION, f"{service_id}/{number}", record)]

    def task(
        self,
        task_id: str,
        node_id: str,
        networks: Sequence[str] = (),
        *,
        service_id: str = "s",
        desired: TaskState.ValueType = TaskState.RUNNING,
    ) -> list[Change]:
        addresses = [TaskAddress(network_id=name, address=f"10.0.0.{len(task_id)}") for name in networks]
        record = Task(id=task_id, service_id=service_id, revision=1, node_id=node_id, addresses=addresses)
        record.state, record.desired_state = TaskState.ASSIGNED, desired
        return [self.put(TASK, task_id, record)]

    def status(self, task_id: str, state: TaskState.ValueType, at_ms: int = 0) -> list[Change]:
        return [self.put(TASK_STATUS, task_id, TaskStatus(task_id=task_id, state=state, at_ms=at_ms))]


def same(known: AssignedState, needs: NodeAssignments) -> bool:
    """Whether the agent knows what it needs; it keeps revisions of its ended tasks a while."""
    return (
        known.tasks == needs.tasks
        and known.networks == needs.networks
        and known.endpoints == needs.endpoints
        and known.peers == needs.peers
        and known.services == needs.services
        and all(known.revisions.get(key) == revision for key, revision in needs.revisions.items())
    )
