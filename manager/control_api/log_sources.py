"""Whose logs a request asks for, and on which nodes they lie. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from manager.control_api.container_names import service_of
from manager.control_api.lookup import find_service, find_task, hostname_of
from manager.control_api.seams import AgentAddress
from manager.store.tables import View
from shoal.api.v1.control_pb2 import LogSource
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import NotFound, Refused
from shoal.task_states import observed, task_name


@dataclass(frozen=True)
class Target:
    """What the user wants the logs of: a service, or what is in one place of it; a task; or a stack.

    Attributes:
        place: a slot's number, a node's name or id; empty for all of the service.
    """

    service_id: str = ""
    place: str = ""
    task_id: str = ""
    stack: str = ""


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
    """A service, by its container's name too, a task, or a place of a service ("web.1", "web.h1").

    Raises:
        NotFound: none is there; the text is that of the service.
    """
    try:
        return Target(service_id=find_service(view, reference).meta.id)
    except NotFound:
        if (target := _in_place(view, reference)) is not None:
            return target
        if (named := service_of(view, reference)) is not None:
            return Target(service_id=named.meta.id)
        try:
            return Target(task_id=find_task(view, reference).id)
        except NotFound:
            pass
        raise


def find_stack(view: View, stack: str) -> Target:
    """Raises NotFound: it has no service."""
    if not any(service.spec.stack == stack for service in view.services.values()):
        raise NotFound(f'no service in stack "{stack}"; `shoal stack ls` lists stacks')
    return Target(stack=stack)


def is_gone(view: View, target: Target) -> bool:
    """Whether no more tasks can come of it."""
    if target.task_id:
        return target.task_id not in view.tasks
    if target.stack:
        return not any(each.spec.stack == target.stack for each in view.services.values()) and not tasks_of(
            view, target
        )
    return target.service_id not in view.services and not view.tasks_of(target.service_id)


def _in_place(view: View, reference: str) -> Target | None:
    name, dot, place = reference.rpartition(".")
    service = view.service_named(name) if dot else None
    if service is None:
        return None
    target = Target(service_id=service.meta.id, place=place)
    return target if any(_is_in(view, target, task) for task in view.tasks_of(service.meta.id).values()) else None


def _is_in(view: View, target: Target, task: Task) -> bool:
    places = (str(task.slot),) if task.slot else (hostname_of(view, task.node_id), task.node_id)
    return not target.place or target.place in places


def tasks_of(view: View, target: Target) -> list[Task]:
    """Tasks that may have a log: those that their agent has taken on, and whose output is kept."""
    if target.task_id:
        found: Iterable[Task] = [view.tasks[target.task_id]] if target.task_id in view.tasks else []
    elif target.stack:
        services = (each.meta.id for each in view.services.values() if each.spec.stack == target.stack)
        found = chain.from_iterable(view.tasks_of(identifier).values() for identifier in services)
    else:
        found = (task for task in view.tasks_of(target.service_id).values() if _is_in(view, target, task))
    return [task for task in found if task.node_id and _has_begun(view, task) and _keeps_log(view, task)]


def require_log(view: View, target: Target) -> None:
    """Whether any output is kept.

    Raises:
        Refused: it is not, nor was that of earlier tasks that are known still.
    """
    task = view.tasks.get(target.task_id)
    service = view.services.get(task.service_id if task is not None else target.service_id)
    disabled = service is not None and service.spec.task.log.disabled if task is None else not _keeps_log(view, task)
    if disabled and not tasks_of(view, target):
        name = service.spec.name if service is not None else target.task_id
        raise Refused(
            f'service "{name}" keeps no log: its log driver is none; '
            f"`shoal service update --log-driver local {name}` keeps one, `shoal attach {name}` shows its output now"
        )


def _keeps_log(view: View, task: Task) -> bool:
    revision = view.revision_of(task.service_id, task.revision)
    return revision is None or not revision.spec.task.log.disabled


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
