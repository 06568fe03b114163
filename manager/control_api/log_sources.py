"""Whose logs a request asks for, and on which nodes they lie. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from manager.control_api.lookup import find_service, find_task, hostname_of
from manager.control_api.seams import AgentAddress
from manager.store.tables import View
from shoal.api.v1.control_pb2 import LogSource
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import NotFound
from shoal.task_states import observed, task_name


@dataclass(frozen=True)
class Target:
    """What the user wants the logs of; one of the two is set."""

    service_id: str = ""
    task_id: str = ""


@dataclass(frozen=True)
class Place:
    """A node with logs that are asked for.

    Attributes:
        agent: None when the node cannot be asked; then `trouble` says why.
        tasks: ids.
    """

    node_id: str
    hostname: str
    agent: AgentAddress | None
    trouble: str
    tasks: tuple[str, ...]


def find_target(view: View, reference: str) -> Target:
    """A service or a task.

    Raises:
        NotFound: neither is there; the text is that of the service.
    """
    try:
        return Target(service_id=find_service(view, reference).meta.id)
    except NotFound:
        try:
            return Target(task_id=find_task(view, reference).id)
        except NotFound:
            pass
        raise


def tasks_of(view: View, target: Target) -> list[Task]:
    """Tasks that may have a log: those that their agent has taken on."""
    if target.task_id:
        found: Iterable[Task] = [view.tasks[target.task_id]] if target.task_id in view.tasks else []
    else:
        found = view.tasks_of(target.service_id).values()
    return [task for task in found if task.node_id and _has_begun(view, task)]


def _has_begun(view: View, task: Task) -> bool:
    return observed(task, view.task_status.get(task.id)) >= TaskState.STARTING


def places(view: View, tasks: Iterable[Task]) -> list[Place]:
    """The tasks by node, in the order of host names."""
    by_node: dict[str, list[str]] = {}
    for task in tasks:
        by_node.setdefault(task.node_id, []).append(task.id)
    found = [_place(view, node_id, tuple(identifiers)) for node_id, identifiers in by_node.items()]
    return sorted(found, key=lambda place: (place.hostname, place.node_id))


def _place(view: View, node_id: str, tasks: tuple[str, ...]) -> Place:
    hostname = hostname_of(view, node_id)
    status = view.node_status.get(node_id)
    if status is None or node_id not in view.nodes:
        return Place(node_id, hostname, None, f"node {hostname} was removed; {_missing(tasks)}", tasks)
    if status.state != NodeStatus.READY:
        return Place(node_id, hostname, None, f"node {hostname} is down; {_missing(tasks)}", tasks)
    return Place(node_id, hostname, AgentAddress.of(node_id, status.description), "", tasks)


def _missing(tasks: tuple[str, ...]) -> str:
    return "the logs of 1 task are missing" if len(tasks) == 1 else f"the logs of {len(tasks)} tasks are missing"


def source_of(view: View, task_id: str) -> LogSource:
    """Names of a task for the user; of a task that is gone, its id."""
    task = view.tasks.get(task_id)
    if task is None:
        return LogSource(task_id=task_id, task_name=task_id)
    revision = view.revision_of(task.service_id, task.revision)
    service = revision.spec.name if revision is not None else task.service_id
    return LogSource(task_id=task_id, task_name=task_name(service, task), node_hostname=hostname_of(view, task.node_id))
