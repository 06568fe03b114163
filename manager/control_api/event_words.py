"""What a change of a record means to a user. Pure; what concerns nobody has no event."""

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import Message

from manager import node_identity
from manager.control_api import volume_move_view
from manager.control_api.field_changes import field_changes
from manager.control_api.lookup import hostname_of
from manager.control_api.node_warnings import NodeWarnings
from manager.store import kinds
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.file_pb2 import File
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.node_pb2 import NetworkCondition, Node, NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import AutoscaleStatus, Service, ServiceStatus, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.api.v1.volume_pb2 import Volume, VolumeStatus

_NOUNS = {
    kinds.NETWORK.name: "network",
    kinds.SECRET.name: "secret",
    kinds.CONFIG.name: "config",
    kinds.VOLUME.name: "volume",
}
_TOLD = frozenset(
    {
        *_NOUNS,
        kinds.SERVICE.name,
        kinds.SERVICE_STATUS.name,
        kinds.AUTOSCALE.name,
        kinds.TASK.name,
        kinds.TASK_STATUS.name,
        kinds.NODE.name,
        kinds.NODE_STATUS.name,
        kinds.VOLUME_STATUS.name,
    }
)
_OF_TASKS = (Task, TaskStatus)
_FIELDS_NAMED = 8
_STAYS = " stays on node "
_WAITS = ("waits for ", "waits since ")


@dataclass(slots=True)
class Seen:
    """A change with the records that name what it is about, for they may be gone when it is told.

    Not frozen: that would double the cost of `see`.

    Attributes:
        at_ms: when it was seen, milliseconds since the Unix epoch.
        task: that the change is about.
        service: that the change, or its task, belongs to.
        volume: of a change of its status.
    """

    at_ms: int
    change: Change
    task: Task | None
    service: Service | None
    volume: Volume | None = None


def see(change: Change, view: View, at_ms: int) -> Seen | None:
    """Keep a change, or None when it tells a user nothing. Cheap: it sees every change of a cluster."""
    if change.kind.name not in _TOLD:
        return None
    old, new = change.old, change.new
    if isinstance(old, TaskStatus) and isinstance(new, TaskStatus) and not _differ(old, new):
        return None
    identifier = change.identifier
    if isinstance(new, VolumeStatus):
        before = old if isinstance(old, VolumeStatus) else VolumeStatus()
        told = volume_move_view.is_told(before, new)
        return Seen(at_ms, change, None, None, view.volumes.get(identifier)) if told else None
    if isinstance(new, _OF_TASKS) or isinstance(old, _OF_TASKS):
        task = view.tasks.get(identifier) or (old if isinstance(old, Task) else None)
        return Seen(at_ms, change, task, view.services.get(task.service_id) if task is not None else None)
    service = view.services.get(identifier)
    return Seen(at_ms, change, None, old if service is None and isinstance(old, Service) else service)


def _differ(old: TaskStatus, new: TaskStatus) -> bool:
    return old.state != new.state or old.health != new.health or old.notice != new.notice


def events_of(seen: Seen, view: View) -> Iterator[Event]:
    """The events of one change, without their numbers."""
    old, new = seen.change.old, seen.change.new
    record = new if new is not None else old
    match record:
        case Service():
            yield from _service(seen, old, new)
        case ServiceStatus():
            yield from _service_status(seen, old, new)
        case AutoscaleStatus():
            yield from _autoscale(seen, old, new)
        case Task():
            yield from _task(seen, old, new, view)
        case TaskStatus():
            yield from _task_status(seen, old, new, view)
        case Node():
            yield from _node(seen, old, new, view)
        case NodeStatus():
            yield from _node_status(seen, old, new, view)
        case Volume() if isinstance(old, Volume) and isinstance(new, Volume):
            yield from _volume(seen, old, new, view)
        case VolumeStatus():
            yield from _volume_status(seen, old, new, view)
        case Network() | File() | Volume():
            yield from _named(seen, record, old, new)


def _volume(seen: Seen, old: Volume, new: Volume, view: View) -> Iterator[Event]:
    """Where its data lies, and what moves leave behind, is told by the events of moves."""
    if old.spec != new.spec or old.removing != new.removing:
        yield from _named(seen, new, old, new)
    for action, message in volume_move_view.started(view, old, new):
        yield _of_volume(seen, new, action, message)


def _volume_status(seen: Seen, old: Message | None, new: Message | None, view: View) -> Iterator[Event]:
    before = old if isinstance(old, VolumeStatus) else VolumeStatus()
    if not isinstance(new, VolumeStatus):
        return
    for action, message in volume_move_view.actions(view, before, new):
        yield _of_volume(seen, seen.volume or Volume(), action, message)


def _of_volume(seen: Seen, volume: Volume, action: str, message: str) -> Event:
    return Event(
        type="volume",
        action=action,
        id=seen.change.identifier,
        name=volume.spec.name or seen.change.identifier,
        stack=volume.spec.stack,
        message=message,
        at_ms=seen.at_ms,
    )


def _named(seen: Seen, record: Network | File | Volume, old: Message | None, new: Message | None) -> Iterator[Event]:
    yield Event(
        type=_NOUNS[seen.change.kind.name],
        action=_action(old, new),
        id=record.meta.id,
        name=record.spec.name,
        stack=record.spec.stack,
        at_ms=seen.at_ms,
    )


def _action(old: Message | None, new: Message | None) -> str:
    return "create" if old is None else "remove" if new is None else "update"


def _of_service(seen: Seen, action: str, message: str = "") -> Event:
    name, stack = _names(seen.service, seen.change.identifier)
    return Event(
        type="service",
        action=action,
        id=seen.change.identifier,
        name=name,
        service=name,
        stack=stack,
        message=message,
        at_ms=seen.at_ms,
    )


def _names(service: Service | None, identifier: str) -> tuple[str, str]:
    return (service.spec.name, service.spec.stack) if service is not None else (identifier, "")


def _service(seen: Seen, old: Message | None, new: Message | None) -> Iterator[Event]:
    if not isinstance(old, Service) or not isinstance(new, Service):
        yield _of_service(seen, _action(old, new))
    elif old.spec != new.spec:
        paths = [change.path for change in field_changes(old.spec, new.spec)]
        more = f" and {len(paths) - _FIELDS_NAMED} more" if len(paths) > _FIELDS_NAMED else ""
        yield _of_service(seen, "update", f"revision {new.revision}: {', '.join(paths[:_FIELDS_NAMED])}{more}")


def _service_status(seen: Seen, old: Message | None, new: Message | None) -> Iterator[Event]:
    before = old if isinstance(old, ServiceStatus) else ServiceStatus()
    if not isinstance(new, ServiceStatus):
        return
    if new.update.state != before.update.state and new.update.state:
        state = UpdateStatus.State.Name(new.update.state).lower().replace("_", "-")
        yield _of_service(seen, f"update-{state}", new.update.message)
    if new.fault != before.fault:
        yield _of_service(seen, "set-aside" if new.fault else "planned-again", new.fault)
    for problem in new.problems:
        if (problem.startswith(_WAITS) or _STAYS in problem) and problem not in before.problems:
            yield _of_service(seen, "waiting", problem)
    waited = any(problem.startswith(_WAITS) for problem in before.problems)
    if waited and new.released_revision > before.released_revision:
        yield _of_service(seen, "released", "what it waited for has come")


def _autoscale(seen: Seen, old: Message | None, new: Message | None) -> Iterator[Event]:
    """A step of the autoscaler; numbers that it takes from the spec, or gives up, have no reason of its own."""
    if not isinstance(new, AutoscaleStatus) or not isinstance(old, AutoscaleStatus):
        return
    if new.message and new.replicas != old.replicas:
        yield _of_service(seen, "autoscale", f"{old.replicas} to {new.replicas} replicas: {new.message}")


def _of_task(seen: Seen, view: View, action: str, message: str) -> Event:
    task = seen.task if seen.task is not None else Task(id=seen.change.identifier)
    name, stack = _names(seen.service, task.service_id)
    node = hostname_of(view, task.node_id) if task.node_id else ""
    return Event(
        type="task",
        action=action,
        id=task.id,
        name=f"{name}.{task.slot or node}",
        service=name,
        node=node,
        stack=stack,
        message=message,
        at_ms=seen.at_ms,
    )


def _task(seen: Seen, old: Message | None, new: Message | None, view: View) -> Iterator[Event]:
    if not isinstance(new, Task):
        return
    before = old if isinstance(old, Task) else Task()
    if new.state != before.state or (new.state == TaskState.PENDING and new.reason != before.reason):
        yield _of_task(seen, view, TaskState.Name(new.state).lower(), new.reason)
    elif new.desired_state > before.desired_state:
        yield _of_task(seen, view, "stop", new.reason)


def _task_status(seen: Seen, old: Message | None, new: Message | None, view: View) -> Iterator[Event]:
    if not isinstance(new, TaskStatus):
        return
    before = old if isinstance(old, TaskStatus) else TaskStatus()
    if new.state != before.state:
        yield _of_task(seen, view, TaskState.Name(new.state).lower(), _ending(new))
    if new.health != before.health and new.health in (TaskStatus.HEALTHY, TaskStatus.UNHEALTHY):
        yield _of_task(seen, view, TaskStatus.Health.Name(new.health).lower(), new.health_output)
    if new.notice and new.notice != before.notice:
        yield _of_task(seen, view, "notice", new.notice)


def _ending(status: TaskStatus) -> str:
    return status.message or (f"exit code {status.exit_code}" if status.HasField("exit_code") else "")


def _of_node(seen: Seen, hostname: str, action: str, message: str = "") -> Event:
    identifier = seen.change.identifier
    return Event(
        type="node", action=action, id=identifier, name=hostname, node=hostname, message=message, at_ms=seen.at_ms
    )


def _node(seen: Seen, old: Message | None, new: Message | None, view: View) -> Iterator[Event]:
    hostname = hostname_of(view, seen.change.identifier)
    if not isinstance(old, Node) or not isinstance(new, Node):
        yield _of_node(seen, hostname, _action(old, new))
        return
    if old.spec.availability != new.spec.availability:
        yield _of_node(seen, hostname, NodeSpec.Availability.Name(new.spec.availability or NodeSpec.ACTIVE).lower())
    if old.spec.HasField("identity") and old.spec.identity != new.spec.identity:
        paths = [change.path for change in field_changes(old.spec.identity, new.spec.identity)]
        yield _of_node(seen, hostname, "update", ", ".join(paths[:_FIELDS_NAMED]))
    if old.spec.labels != new.spec.labels:
        yield _of_node(seen, hostname, "update", "labels")


def _node_status(seen: Seen, old: Message | None, new: Message | None, view: View) -> Iterator[Event]:
    before = old if isinstance(old, NodeStatus) else NodeStatus()
    if not isinstance(new, NodeStatus):
        return
    hostname = hostname_of(view, seen.change.identifier)
    if new.state != before.state:
        yield _of_node(seen, hostname, NodeStatus.State.Name(new.state).lower(), new.message)
    if new.refusal and new.refusal != before.refusal:
        yield _of_node(seen, hostname, "refused", new.refusal)
    if new.claimed != before.claimed and (node := view.nodes.get(new.node_id)) is not None:
        for claim in node_identity.claims(node, new):
            yield _of_node(seen, hostname, "problem", claim)
    if new.description.underlay_mtu != before.description.underlay_mtu:
        for warning in NodeWarnings(view).mtu(new.description):
            yield _of_node(seen, hostname, "problem", warning)
    yield from _network_condition(seen, hostname, before.network, new.network)
    yield from _paths(seen, hostname, before.network, new.network, view)


def _paths(seen: Seen, hostname: str, old: NetworkCondition, new: NetworkCondition, view: View) -> Iterator[Event]:
    if old.paths == new.paths:
        return
    words = NodeWarnings(view)
    before, after = ([words.path(each) for each in condition.paths] for condition in (old, new))
    for text in after:
        if text not in before:
            yield _of_node(seen, hostname, "problem", text)
    for text in before:
        if text not in after:
            yield _of_node(seen, hostname, "solved", text)


def _network_condition(seen: Seen, hostname: str, old: NetworkCondition, new: NetworkCondition) -> Iterator[Event]:
    if new.repaired.at_ms > old.repaired.at_ms:
        number = new.repaired.count - old.repaired.count
        more = f" ({number} times since the last one told)" if number > 1 and old.repaired.count else ""
        yield _of_node(seen, hostname, "network-repaired", f"{new.repaired.what}{more}")
    for problem in new.problems:
        if problem not in old.problems:
            yield _of_node(seen, hostname, "problem", problem)
    for problem in old.problems:
        if problem not in new.problems:
            yield _of_node(seen, hostname, "solved", problem)
