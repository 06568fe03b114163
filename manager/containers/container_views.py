"""Containers as they are shown: the record with its newest run, its node, and what becomes of it. Pure."""

from collections.abc import Iterator

from manager.records.container_facts import newest_task, node_of
from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Unavailable
from shoal.restarts.runs import restart_count
from shoal.task_states import task_name
from shoal.utc_text import utc_text


def container_view(view: View, container: Container) -> ContainerView:
    """A container with the facts about it."""
    identifier = container.meta.id
    status, task = view.service_status.get(identifier), newest_task(view, identifier)
    run = view.task_status.get(task.id) if task is not None else None
    node_id = status.node_id if status is not None and status.node_id else task.node_id if task is not None else ""
    return ContainerView(
        container=container,
        status=status,
        task=task,
        task_status=run,
        node_id=node_id,
        node_hostname=hostname_of(view, node_id) if node_id else "",
        node_down_since_ms=down_since_ms(view, node_id),
        restart_count=restart_count(task, run) if task is not None else 0,
    )


def task_views(view: View) -> Iterator[ContainerView]:
    """Tasks of services in the same form: without an id of a container."""
    for task in view.tasks.values():
        if not task.container_id and task.node_id:
            yield task_view(view, task)


def task_view(view: View, task: Task) -> ContainerView:
    """A service's task as a container: its name and what it runs, without an id."""
    status = view.task_status.get(task.id)
    found = ContainerView(
        task=task,
        task_status=status,
        node_id=task.node_id,
        node_hostname=hostname_of(view, task.node_id),
        node_down_since_ms=down_since_ms(view, task.node_id),
        restart_count=restart_count(task, status),
    )
    revision = view.revision_of(task.service_id, task.revision)
    if revision is not None:
        found.container.name = task_name(revision.spec.name, task)
        found.container.definition.task.CopyFrom(revision.spec.task)
        found.container.definition.labels.update(revision.spec.labels)
        found.container.definition.ports.extend(revision.spec.endpoint.ports)
    return found


def down_since_ms(view: View, node_id: str) -> int:
    """Since when the node is down or removed; 0: it is not. Milliseconds since the Unix epoch."""
    status = view.node_status.get(node_id)
    if not node_id or (status is not None and status.state != NodeStatus.DOWN):
        return 0
    return status.since_ms if status is not None else 1


def check_node(view: View, container: Container) -> None:
    """Raises Unavailable when the container's node is down or removed, with its name and since when."""
    node_id = node_of(view, container.meta.id)
    if not down_since_ms(view, node_id):
        return
    status, name = view.node_status.get(node_id), hostname_of(view, node_id)
    if status is None or node_id not in view.nodes:
        raise Unavailable(f'the node of container "{container.name}" was removed, and its files with it')
    raise Unavailable(
        f'container "{container.name}" is on node {name}, which has been down since {utc_text(status.since_ms)}'
    )


def exit_code(task: Task | None, view: View) -> int:
    """Of an ended run; 0 where none is known, 128 with the signal where one ended it."""
    status = view.task_status.get(task.id) if task is not None else None
    return status.exit_code if status is not None else 0
