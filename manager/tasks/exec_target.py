"""Resolves which task an exec or attach refers to. Pure."""

from collections.abc import Iterable

from manager.agents.agent_address import AgentAddress
from manager.records.object_lookup import (
    container_of_name,
    find_task,
    hostname_of,
    is_down,
    service_with_container,
    slot_names,
)
from manager.store.tables import View
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import NotFound, Refused
from shoal.node_states import is_restarting
from shoal.task_states import observed_state
from shoal.utc_text import utc_text


def find_running(view: View, reference: str) -> Task:
    """A running task: by ID or ID prefix, by name ("web.1", "web.1.<ID>"; of a global service "web.h1"), by container
    name, or the one with the lowest slot of a service. Of a container of one's own by its name or any form of its ID.

    Raises:
        NotFound: no such task or service. Refused: it is not running.
        InvalidInput: an ID prefix is ambiguous.
    """
    name, _, slot_name = reference.partition(".")
    service = view.service_named(name) or view.services.get(name)
    if service is None and (named := service_with_container(view, reference)) is not None:
        return _first_running(view, named, view.tasks_of(named.meta.id).values(), f"container {reference}")
    if service is None and (container := container_of_name(view, reference)) is not None:
        return _running_task(view, container)
    if service is None:
        try:
            return _require_running(view, find_task(view, reference), reference)
        except NotFound:
            raise NotFound(f'task or service "{reference}" not found; list services with `shoal service ls`') from None
    tasks = view.tasks_of(service.meta.id)
    if not slot_name:
        return _first_running(view, service, tasks.values(), f"service {reference}")
    if (whole := tasks.get(slot_name.rpartition(".")[2])) is not None:
        return _require_running(view, whole, reference)
    if found := [task for task in tasks.values() if slot_name in slot_names(view, task)]:
        return _first_running(view, service, found, f"task {reference}")
    raise NotFound(f'task "{reference}" not found; list tasks with `shoal service ps {name}`')


def agent_of(view: View, task: Task) -> AgentAddress:
    """The agent of a task's node.

    Raises:
        Refused: the node is down, since when is in the text, or its agent is restarting.
    """
    status = view.node_status.get(task.node_id)
    if is_restarting(status):
        raise Refused(f"the agent of node {hostname_of(view, task.node_id)} is restarting; try again in a few seconds")
    if status is None or status.state != NodeStatus.READY:
        since = f" since {utc_text(status.since_ms)}" if status is not None and status.since_ms else ""
        raise Refused(f"node {hostname_of(view, task.node_id)} is down{since}")
    return AgentAddress.of(task.node_id, status.description)


def container_of(view: View, task: Task) -> ContainerSpec:
    """The spec of the task's container."""
    revision = view.revision_of(task.service_id, task.revision)
    return revision.spec.task.container if revision is not None else ContainerSpec()


def short_name(view: View, task: Task) -> str:
    """`web.1`, of a global service `web.h1`, of a container of one's own its name."""
    if (container := view.containers.get(task.container_id)) is not None:
        return container.name
    service = view.services.get(task.service_id)
    name = service.spec.name if service is not None else task.service_id
    return f"{name}.{slot_names(view, task)[0]}"


def _running_task(view: View, container: Container) -> Task:
    for task in view.tasks_of(container.meta.id).values():
        if _state(view, task) == TaskState.RUNNING:
            return task
    raise Refused(f"container {container.name} is not running; start it with `shoal start {container.name}`")


def _first_running(view: View, service: Service, tasks: Iterable[Task], what: str) -> Task:
    """The running task with the lowest slot, preferably on a node that is up; the newest of several in a slot."""
    running = [task for task in tasks if _state(view, task) == TaskState.RUNNING]
    if running:
        return min(running, key=lambda task: (is_down(view, task.node_id), task.slot, -task.created_at_ms, task.id))
    raise Refused(f"{what} is not running; see `shoal service ps {service.spec.name}`")


def _require_running(view: View, task: Task, reference: str) -> Task:
    state = _state(view, task)
    if state != TaskState.RUNNING:
        raise Refused(f"task {reference} is not running (state: {TaskState.Name(TaskState.ValueType(state)).lower()})")
    return task


def _state(view: View, task: Task) -> int:
    return observed_state(task, view.task_status.get(task.id))
