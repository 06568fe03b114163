"""Containers as they are shown: the record with its newest run, its node, and what becomes of it. Pure."""

from collections.abc import Iterator

from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import Unavailable
from shoal.task_states import is_live, should_run, task_name
from shoal.utc_text import utc_text


def container_view(view: View, container: Container) -> ContainerView:
    """A container with the facts about it."""
    identifier = container.meta.id
    status, task = view.service_status.get(identifier), newest_task(view, identifier)
    node_id = status.node_id if status is not None and status.node_id else task.node_id if task is not None else ""
    return ContainerView(
        container=container,
        status=status,
        task=task,
        task_status=view.task_status.get(task.id) if task is not None else None,
        node_id=node_id,
        node_hostname=hostname_of(view, node_id) if node_id else "",
        node_down_since_ms=down_since_ms(view, node_id),
        restart_count=task.attempt if task is not None else 0,
    )


def task_views(view: View) -> Iterator[ContainerView]:
    """Tasks of services in the same form: without an id of a container."""
    for task in view.tasks.values():
        if not task.container_id and task.node_id:
            yield task_view(view, task)


def task_view(view: View, task: Task) -> ContainerView:
    """A service's task as a container: its name and what it runs, without an id."""
    found = ContainerView(
        task=task,
        task_status=view.task_status.get(task.id),
        node_id=task.node_id,
        node_hostname=hostname_of(view, task.node_id),
        node_down_since_ms=down_since_ms(view, task.node_id),
        restart_count=task.attempt,
    )
    revision = view.revision_of(task.service_id, task.revision)
    if revision is not None:
        found.container.name = task_name(revision.spec.name, task)
        found.container.definition.task.CopyFrom(revision.spec.task)
        found.container.definition.labels.update(revision.spec.labels)
        found.container.definition.ports.extend(revision.spec.endpoint.ports)
    return found


def newest_task(view: View, container_id: str) -> Task | None:
    """The task of the newest run, where that is to be; None before the container was placed."""
    tasks = view.tasks_of(container_id)
    if len(tasks) < 2:  # as of most
        return next(iter(tasks.values()), None)
    return max(tasks.values(), key=_order)


def _order(task: Task) -> tuple[int, int, bool, int, str]:
    return task.job_run, task.attempt, should_run(task), task.created_at_ms, task.id


def node_of(view: View, container_id: str) -> str:
    """Id of the node where it is, also of one that was removed; empty before it was placed."""
    status, task = view.service_status.get(container_id), newest_task(view, container_id)
    if status is not None and status.node_id:
        return status.node_id
    return task.node_id if task is not None else ""


def is_running(view: View, container_id: str) -> bool:
    """Whether a run of it was begun and has not ended, as far as is known."""
    tasks = view.tasks_of(container_id).values()
    return any(each.desired_state != TaskState.READY and is_live(each, view.task_status.get(each.id)) for each in tasks)


def has_live_task(view: View, container_id: str) -> bool:
    """Whether its node may have anything of it in hand: a run, or the creation."""
    return any(is_live(each, view.task_status.get(each.id)) for each in view.tasks_of(container_id).values())


def is_restarting(view: View, container: Container) -> bool:
    """Whether it has ended, and is to be started again by its policy or by its user."""
    status = view.service_status.get(container.meta.id)
    finished = status is not None and status.finished_run == container.run
    return container.desired == Container.RUNNING and not finished and not is_running(view, container.meta.id)


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
