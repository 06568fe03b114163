"""Events of containers of one's own, with Docker's names and attributes. Pure.

A run has no events of its own as a task: what happens to it happens to the container.
"""

from collections.abc import Iterator, Mapping

from google.protobuf.message import Message

from manager.events import container_places
from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.image_reference import parse
from shoal.task_states import is_terminal


def events_of(
    container: Container, task: Task | None, old: Message | None, new: Message | None, view: View, at_ms: int
) -> Iterator[Event]:
    """The events of one change of the container's record, or of its run.

    Args:
        task: the run, when the change is of one.
        at_ms: when it was seen, milliseconds since the Unix epoch.
    """
    node = hostname_of(view, task.node_id) if task is not None and task.node_id else ""
    if isinstance(new, Container) or isinstance(old, Container):
        for action, more in _of_record(old, new):
            yield _event(container, action, at_ms, more, node)
        yield from _of_networks(container, old, new, view, at_ms)
    elif isinstance(new, TaskStatus):
        before = old if isinstance(old, TaskStatus) else TaskStatus()
        for action, more in _of_run(container, before, new):
            if action == "start":
                yield from container_places.of_start(container, view, at_ms)
            if action == "die" and _has_started(new):
                yield from container_places.of_end(container, view, at_ms)
            yield _event(container, action, at_ms, more, node)


def container_of_run(task: Task, view: View) -> Container:
    """What the events of a run need of its container, which is gone already: of the revision that the run had."""
    revision = view.revision_of(task.service_id, task.revision)
    container = Container(name=task.container_id)
    if revision is not None:
        container.name = revision.spec.name
        container.definition.task.CopyFrom(revision.spec.task)
        container.definition.labels.update(revision.spec.labels)
    container.meta.id = task.container_id
    return container


def _of_record(old: Message | None, new: Message | None) -> Iterator[tuple[str, Mapping[str, str]]]:
    if not isinstance(old, Container):
        yield "create", {}
        return
    if not isinstance(new, Container):
        yield "destroy", {}
        return
    if old.name != new.name:
        yield "rename", {"oldName": old.name}
    if new.held and not old.held and new.desired == Container.RUNNING and not new.removing:
        yield "kill", {}
    if _without_networks(old) != _without_networks(new):
        yield "update", {}


def _of_run(container: Container, before: TaskStatus, status: TaskStatus) -> Iterator[tuple[str, Mapping[str, str]]]:
    if status.restarts.count > before.restarts.count:
        # Of several restarts the newest alone is known; those who follow the events were away as managers were.
        restarts = status.restarts
        ran_ms = max(0, restarts.ended_at_ms - before.running_at_ms) if before.running_at_ms else 0
        yield "die", {"exitCode": str(restarts.exit_code), "execDuration": str(ran_ms // 1000)}
    was_restarting = before.restarts.starting or status.restarts.count > before.restarts.count
    is_restarted = was_restarting and not status.restarts.starting and status.state == TaskState.RUNNING
    if is_restarted or (_has_started(status) and not _has_started(before)):
        yield "start", {}
    if status.oom_killed and not before.oom_killed:
        yield "oom", {}
    if status.paused != before.paused and not is_terminal(status.state):
        yield ("pause" if status.paused else "unpause"), {}
    if status.health != before.health and status.health in (TaskStatus.HEALTHY, TaskStatus.UNHEALTHY):
        yield f"health_status: {TaskStatus.Health.Name(status.health).lower()}", {}
    if is_terminal(status.state) and not is_terminal(before.state):
        ran_ms = max(0, status.at_ms - status.running_at_ms) if status.running_at_ms else 0
        yield "die", {"exitCode": str(status.exit_code), "execDuration": str(ran_ms // 1000)}
        if container.desired == Container.STOPPED:
            yield "stop", {}


def _has_started(status: TaskStatus) -> bool:
    """Whether its program has run: a short one may have ended before its node has reported, or seen, anything else."""
    reached = (status.state, *(each.state for each in status.state_history))
    has_ended = status.HasField("exit_code") and status.state != TaskState.REJECTED
    return TaskState.RUNNING in reached or bool(status.running_at_ms) or has_ended


def _of_networks(
    container: Container, old: Message | None, new: Message | None, view: View, at_ms: int
) -> Iterator[Event]:
    if not isinstance(old, Container) or not isinstance(new, Container) or new.desired != Container.RUNNING:
        return  # of one that does not run they are connected at its start
    before, after = ({each.network for each in row.definition.task.networks} for row in (old, new))
    for action, networks in (("connect", after - before), ("disconnect", before - after)):
        for identifier in sorted(networks):
            yield container_places.of_network(container, identifier, action, view, at_ms)


def _event(container: Container, action: str, at_ms: int, more: Mapping[str, str], node: str) -> Event:
    definition = container.definition
    image = definition.task.container.image
    event = Event(type="container", action=action, id=container.meta.id, name=container.name, node=node, at_ms=at_ms)
    labels = {**definition.task.container.labels, **definition.labels}
    event.attributes.update({**labels, "name": container.name, "image": _familiar(image), **more})
    if "exitCode" in more:
        event.message = f"exit code {more['exitCode']}"
    return event


def _without_networks(container: Container) -> bytes:
    changed = Container()
    changed.CopyFrom(container)
    del changed.definition.task.networks[:]
    changed.definition.engine_request = b""
    return changed.definition.SerializeToString(deterministic=True)


def _familiar(image: str) -> str:
    """The image as its user wrote it: without the digest if it has a tag."""
    if not image:
        return ""
    reference = parse(image)
    return reference.familiar.partition("@")[0] if reference.tag else reference.familiar
