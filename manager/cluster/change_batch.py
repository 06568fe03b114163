"""Which objects have changed, and the responses that say how they are now. Pure: no clock, no I/O."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from manager.store import kinds
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.control_pb2 import ClusterChanges, TaskSummary
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task

_OBJECT_OF = {
    kinds.NODE.name: kinds.NODE.name,
    kinds.NODE_STATUS.name: kinds.NODE.name,
    kinds.SERVICE.name: kinds.SERVICE.name,
    kinds.SERVICE_STATUS.name: kinds.SERVICE.name,
    kinds.CONTAINER.name: kinds.CONTAINER.name,
    kinds.TASK.name: kinds.TASK.name,
    kinds.TASK_STATUS.name: kinds.TASK.name,
}
"""The kind of the object that a record belongs to, for records that are streamed."""


@dataclass
class ChangeBatch:
    """Objects of which a record has changed. Each is sent once, as it is when the response is made.

    Attributes:
        view: the tables that the objects are read from.
    """

    view: View
    _changed: dict[tuple[str, str], None] = field(default_factory=dict)

    def add(self, changes: Iterable[Change]) -> None:
        """Note what has changed."""
        for change in changes:
            if (kind := _OBJECT_OF.get(change.kind.name)) is not None:
                self._changed[kind, change.identifier] = None

    def add_existing(self, kind: str, identifiers: Iterable[str]) -> None:
        """Note objects of a kind: one whose record is gone is left out."""
        rows = {
            kinds.NODE.name: self.view.nodes,
            kinds.SERVICE.name: self.view.services,
            kinds.CONTAINER.name: self.view.containers,
            kinds.TASK.name: self.view.tasks,
        }[kind]
        self._changed.update({(kind, each): None for each in identifiers if each in rows})

    def responses(self, size: int) -> Iterator[ClusterChanges]:
        """Responses of at most so many objects each."""
        rest = iter(self._changed)
        while part := list(islice(rest, size)):
            response = ClusterChanges()
            for kind, identifier in part:
                self._put(response, kind, identifier)
            yield response

    def _put(self, response: ClusterChanges, kind: str, identifier: str) -> None:
        if kind == kinds.TASK.name:
            self._put_task(response, identifier)
        elif kind == kinds.NODE.name:
            self._put_node(response, identifier)
        elif kind == kinds.CONTAINER.name:
            self._put_container(response, identifier)
        else:
            self._put_service(response, identifier)

    def _put_task(self, response: ClusterChanges, identifier: str) -> None:
        task = self.view.tasks.get(identifier)
        if task is None:
            response.removed_tasks.append(identifier)
        else:
            response.tasks.append(task_summary(self.view, task))

    def _put_node(self, response: ClusterChanges, identifier: str) -> None:
        node = self.view.nodes.get(identifier)
        if node is None:
            response.removed_nodes.append(identifier)
            return
        response.nodes.append(node)
        if (status := self.view.node_status.get(identifier)) is not None:
            response.node_status.append(_node_status(status))

    def _put_service(self, response: ClusterChanges, identifier: str) -> None:
        service = self.view.services.get(identifier)
        if service is None:
            # A container's status is of the same kind as a service's.
            if identifier not in self.view.containers:
                response.removed_services.append(identifier)
            elif (status := self.view.service_status.get(identifier)) is not None:
                response.service_status.append(status)
            return
        response.services.append(_service(service))
        if (status := self.view.service_status.get(identifier)) is not None:
            response.service_status.append(status)

    def _put_container(self, response: ClusterChanges, identifier: str) -> None:
        container = self.view.containers.get(identifier)
        if container is None:
            response.removed_containers.append(identifier)
            return
        sent = Container(name=container.name, revision=container.revision, desired=container.desired)
        sent.meta.CopyFrom(container.meta)
        response.containers.append(sent)


def task_summary(view: View, task: Task) -> TaskSummary:
    """A task as lists and pictures show it."""
    status = view.task_status.get(task.id)
    observed = status if status is not None and status.state >= task.state else None
    summary = TaskSummary(
        id=task.id,
        service_id=task.service_id,
        revision=task.revision,
        slot=task.slot,
        node_id=task.node_id,
        state=observed.state if observed is not None else task.state,
        desired_state=task.desired_state,
        message=task.reason,
        since_ms=task.created_at_ms,
    )
    if observed is not None:
        summary.health = observed.health
        summary.paused, summary.not_listening = observed.paused, observed.not_listening
        summary.message = observed.warning or observed.message or task.reason
        summary.since_ms = observed.at_ms
        if observed.HasField("exit_code"):
            summary.exit_code = observed.exit_code
    revision = view.revision_of(task.service_id, task.revision)
    if revision is not None:
        reserved = revision.spec.task.reservations
        summary.reserved_nano_cpus, summary.reserved_memory_bytes = reserved.nano_cpus, reserved.memory_bytes
    return summary


def _node_status(status: NodeStatus) -> NodeStatus:
    sent = NodeStatus()
    sent.CopyFrom(status)
    for name in ("devices", "overlay_keys", "features"):
        sent.description.ClearField(name)
    sent.ClearField("orphaned_containers")
    return sent


def _service(service: Service) -> Service:
    """Without what is large: but for the image, which lists show."""
    sent = Service()
    sent.CopyFrom(service)
    image = service.spec.task.container.image
    sent.spec.ClearField("engine_request")
    sent.spec.ClearField("task")
    sent.spec.task.container.image = image
    return sent
