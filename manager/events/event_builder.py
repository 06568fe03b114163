"""Events derived from record changes. Pure; changes that mean nothing to users have no event."""

from collections.abc import Iterator
from dataclasses import dataclass
from sys import intern

from google.protobuf.message import Message

from manager.events import container_events, image_events, node_events
from manager.images.image_locks import LOCKS
from manager.planner.spec.problem_texts import is_stay, is_wait
from manager.records.field_diff import field_changes
from manager.records.object_lookup import hostname_of
from manager.store import kinds
from manager.store.changes import Change
from manager.store.tables import View
from manager.volumes import volume_move_progress
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.file_pb2 import File
from shoal.api.v1.meta_pb2 import Name
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.api.v1.service_pb2 import AutoscaleStatus, Service, ServiceStatus, UpdateStatus
from shoal.api.v1.standalone_pb2 import Container, Image
from shoal.api.v1.task_pb2 import NodeRestarts, Task, TaskState, TaskStatus
from shoal.api.v1.volume_pb2 import Volume, VolumeStatus

_OBJECT_TYPES = {
    kinds.NETWORK.name: "network",
    kinds.SECRET.name: "secret",
    kinds.CONFIG.name: "config",
    kinds.VOLUME.name: "volume",
}
_REPORTED_KINDS = frozenset(
    {
        *_OBJECT_TYPES,
        kinds.CONTAINER.name,
        kinds.IMAGE.name,
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
_TASK_RECORDS = (Task, TaskStatus)
_FIELDS_NAMED = 8


@dataclass(slots=True)
class ObservedChange:
    """A change with the records that identify its object, which may be gone when the event is built.

    Not frozen: that would double the cost of `observe`.

    Attributes:
        at_ms: when it was seen, milliseconds since the Unix epoch.
        change: of a node's status, with what events are made of.
        task: the task that the change concerns.
        service: name and stack of the service that the change or its task belongs to.
        volume: for a change of a volume's status.
        container: the container that the change or its task belongs to.
    """

    at_ms: int
    change: Change
    task: Task | None
    service: tuple[str, str] | None
    volume: Volume | None = None
    container: Container | None = None

    def size(self) -> int:
        """Bytes of the records that it holds, serialized, but for its task, which is small."""
        records = (self.change.old, self.change.new, self.volume, self.container)
        return sum(each.ByteSize() for each in records if each is not None)


def observe(change: Change, view: View, at_ms: int) -> ObservedChange | None:
    """The change with the records it concerns, or None if it has no event. Cheap: called for every change."""
    if change.kind.name not in _REPORTED_KINDS and not _is_image_lock(change):
        return None
    old, new = change.old, change.new
    if isinstance(old, TaskStatus) and isinstance(new, TaskStatus) and not _differ(old, new):
        return None
    identifier = change.identifier
    if isinstance(new, VolumeStatus):
        before = old if isinstance(old, VolumeStatus) else VolumeStatus()
        has_events = volume_move_progress.has_events(before, new)
        return ObservedChange(at_ms, change, None, None, view.volumes.get(identifier)) if has_events else None
    if isinstance(new, _TASK_RECORDS) or isinstance(old, _TASK_RECORDS):
        task = view.tasks.get(identifier) or (old if isinstance(old, Task) else None)
        if task is None or not task.container_id:
            service = view.services.get(task.service_id) if task is not None else None
            return ObservedChange(at_ms, change, task, _names(service))
        container = view.containers.get(task.container_id) or container_events.container_of_run(task, view)
        return ObservedChange(at_ms, change, task, None, container=container)
    if isinstance(new, Container) or isinstance(old, Container):
        record = new if isinstance(new, Container) else old if isinstance(old, Container) else None
        return ObservedChange(at_ms, change, None, None, container=record)
    if isinstance(new, NodeStatus) or isinstance(old, NodeStatus):
        return ObservedChange(at_ms, _of_node_status(change), None, None)
    service = view.services.get(identifier)
    return ObservedChange(at_ms, change, None, _names(old if service is None and isinstance(old, Service) else service))


def _of_node_status(change: Change) -> Change:
    old, new = (
        node_events.remembered(each) if isinstance(each, NodeStatus) else None for each in (change.old, change.new)
    )
    return Change(change.kind, change.identifier, old, new)


def _names(service: Service | None) -> tuple[str, str] | None:
    """Name and stack; each only once in memory, however many changes have it."""
    return (intern(service.spec.name), intern(service.spec.stack)) if service is not None else None


def _is_image_lock(change: Change) -> bool:
    return change.kind is kinds.NAME and change.identifier.startswith(LOCKS)


def _differ(old: TaskStatus, new: TaskStatus) -> bool:
    before, after = old.restarts, new.restarts
    if (before.count, before.starting) != (after.count, after.starting):
        return True
    return (old.state, old.health, old.warning, old.paused) != (new.state, new.health, new.warning, new.paused)


def events_of(observed: ObservedChange, view: View) -> Iterator[Event]:
    """The events of one change, without their numbers."""
    old, new = observed.change.old, observed.change.new
    record = new if new is not None else old
    if observed.container is not None:
        yield from container_events.events_of(observed.container, observed.task, old, new, view, observed.at_ms)
        return
    match record:
        case Service():
            yield from _service(observed, old, new)
        case ServiceStatus():
            yield from _service_status(observed, old, new)
        case AutoscaleStatus():
            yield from _autoscale(observed, old, new)
        case Task():
            yield from _task(observed, old, new, view)
        case TaskStatus():
            yield from _task_status(observed, old, new, view)
        case Node() | NodeStatus():
            yield from node_events.events_of(observed.change.identifier, old, new, view, observed.at_ms)
        case Volume() if isinstance(old, Volume) and isinstance(new, Volume):
            yield from _volume(observed, old, new, view)
        case VolumeStatus():
            yield from _volume_status(observed, old, new, view)
        case Image() | Name():
            yield from image_events.events_of(old, new, observed.at_ms)
        case Network() | File() | Volume():
            yield from _object_event(observed, record, old, new)


def _volume(observed: ObservedChange, old: Volume, new: Volume, view: View) -> Iterator[Event]:
    """Changes of home and stale copies are reported by the move events."""
    if old.spec != new.spec or old.removing != new.removing:
        yield from _object_event(observed, new, old, new)
    for action, message in volume_move_progress.started(view, old, new):
        yield _volume_event(observed, new, action, message)


def _volume_status(observed: ObservedChange, old: Message | None, new: Message | None, view: View) -> Iterator[Event]:
    before = old if isinstance(old, VolumeStatus) else VolumeStatus()
    if not isinstance(new, VolumeStatus):
        return
    for action, message in volume_move_progress.actions(view, before, new):
        yield _volume_event(observed, observed.volume or Volume(), action, message)


def _volume_event(observed: ObservedChange, volume: Volume, action: str, message: str) -> Event:
    return Event(
        type="volume",
        action=action,
        id=observed.change.identifier,
        name=volume.spec.name or observed.change.identifier,
        stack=volume.spec.stack,
        message=message,
        at_ms=observed.at_ms,
    )


def _object_event(
    observed: ObservedChange, record: Network | File | Volume, old: Message | None, new: Message | None
) -> Iterator[Event]:
    yield Event(
        type=_OBJECT_TYPES[observed.change.kind.name],
        action=_action(old, new),
        id=record.meta.id,
        name=record.spec.name,
        stack=record.spec.stack,
        at_ms=observed.at_ms,
    )


def _action(old: Message | None, new: Message | None) -> str:
    return "create" if old is None else "remove" if new is None else "update"


def _service_event(observed: ObservedChange, action: str, message: str = "") -> Event:
    name, stack = observed.service or (observed.change.identifier, "")
    return Event(
        type="service",
        action=action,
        id=observed.change.identifier,
        name=name,
        service=name,
        stack=stack,
        message=message,
        at_ms=observed.at_ms,
    )


def _service(observed: ObservedChange, old: Message | None, new: Message | None) -> Iterator[Event]:
    if not isinstance(old, Service) or not isinstance(new, Service):
        yield _service_event(observed, _action(old, new))
    elif old.spec != new.spec:
        paths = [change.path for change in field_changes(old.spec, new.spec)]
        more = f" and {len(paths) - _FIELDS_NAMED} more" if len(paths) > _FIELDS_NAMED else ""
        named = f": {', '.join(paths[:_FIELDS_NAMED])}{more}" if paths else ""
        yield _service_event(observed, "update", f"revision {new.revision}{named}")


def _service_status(observed: ObservedChange, old: Message | None, new: Message | None) -> Iterator[Event]:
    before = old if isinstance(old, ServiceStatus) else ServiceStatus()
    if not isinstance(new, ServiceStatus):
        return
    if new.update.state != before.update.state and new.update.state:
        state = UpdateStatus.State.Name(new.update.state).lower().replace("_", "-")
        yield _service_event(observed, f"update-{state}", new.update.message)
    if new.planning_error != before.planning_error:
        yield _service_event(observed, "quarantined" if new.planning_error else "unquarantined", new.planning_error)
    for problem in new.problems:
        if (is_wait(problem) or is_stay(problem)) and problem not in before.problems:
            yield _service_event(observed, "waiting", problem)
    waited = any(map(is_wait, before.problems))
    if waited and new.unblocked_revision > before.unblocked_revision:
        yield _service_event(observed, "unblocked", "all dependencies are satisfied")


def _autoscale(observed: ObservedChange, old: Message | None, new: Message | None) -> Iterator[Event]:
    """An autoscaling step; replica counts taken from the spec have no message of their own."""
    if not isinstance(new, AutoscaleStatus) or not isinstance(old, AutoscaleStatus):
        return
    if new.message and new.replicas != old.replicas:
        yield _service_event(observed, "autoscale", f"{old.replicas} to {new.replicas} replicas: {new.message}")


def _task_event(observed: ObservedChange, view: View, action: str, message: str) -> Event:
    task = observed.task if observed.task is not None else Task(id=observed.change.identifier)
    name, stack = observed.service or (task.service_id, "")
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
        at_ms=observed.at_ms,
    )


def _task(observed: ObservedChange, old: Message | None, new: Message | None, view: View) -> Iterator[Event]:
    if not isinstance(new, Task):
        return
    before = old if isinstance(old, Task) else Task()
    if new.state != before.state or (new.state == TaskState.PENDING and new.reason != before.reason):
        yield _task_event(observed, view, TaskState.Name(new.state).lower(), new.reason)
    elif new.desired_state > before.desired_state:
        yield _task_event(observed, view, "stop", new.reason)


def _task_status(observed: ObservedChange, old: Message | None, new: Message | None, view: View) -> Iterator[Event]:
    if not isinstance(new, TaskStatus):
        return
    before = old if isinstance(old, TaskStatus) else TaskStatus()
    if new.state != before.state:
        yield _task_event(observed, view, TaskState.Name(new.state).lower(), _ending(new))
    if new.restarts.count > before.restarts.count:
        yield _task_event(observed, view, "restart", _restart(before.restarts, new.restarts))
    if new.health != before.health and new.health in (TaskStatus.HEALTHY, TaskStatus.UNHEALTHY):
        yield _task_event(observed, view, TaskStatus.Health.Name(new.health).lower(), new.health_output)
    if new.warning and new.warning != before.warning:
        yield _task_event(observed, view, "warning", new.warning)


def _restart(before: NodeRestarts, restarts: NodeRestarts) -> str:
    """ "by its node, without a manager (2 times): exit code 1"."""
    number = restarts.count - before.count
    times = f" ({number} times)" if number > 1 else ""
    return f"by its node, without a manager{times}" + (f": {restarts.message}" if restarts.message else "")


def _ending(status: TaskStatus) -> str:
    return status.message or (f"exit code {status.exit_code}" if status.HasField("exit_code") else "")
