"""Which tasks a log request selects, and on which nodes their logs are. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from manager.agents.agent_address import AgentAddress
from manager.records.container_facts import node_of
from manager.records.object_lookup import (
    container_of_name,
    find_service,
    find_task,
    hostname_of,
    service_with_container,
    slot_names,
)
from manager.store.tables import View
from shoal.api.v1.control_pb2 import LogSource
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import NotFound, Refused
from shoal.node_states import is_restarting
from shoal.task_states import observed_state, task_name


@dataclass(frozen=True)
class LogTarget:
    """What to read the logs of: a service or one of its slots; a task; a stack; or a container of one's own.

    Attributes:
        slot_name: a slot's number, a node's hostname or ID; empty for the whole service.
    """

    service_id: str = ""
    slot_name: str = ""
    task_id: str = ""
    stack: str = ""
    container_id: str = ""


@dataclass(frozen=True)
class NodeLogs:
    """A node with requested logs.

    Attributes:
        agent: None when the node is not available; then `warning` says why.
        tasks: IDs; or one, that of a container, whose runs have one log.
    """

    node_id: str
    hostname: str
    agent: AgentAddress | None
    warning: str
    tasks: tuple[str, ...]


def find_target(view: View, reference: str) -> LogTarget:
    """A service (also by its container name), a container, a task, or a slot of a service ("web.1", "web.h1").

    Raises:
        NotFound: none exists; the message is that of the service.
    """
    service = view.service_named(reference) or view.services.get(reference)
    if service is None and (container := container_of_name(view, reference)) is not None:
        return LogTarget(container_id=container.meta.id)
    try:
        return LogTarget(service_id=find_service(view, reference).meta.id)
    except NotFound:
        if (target := _find_slot(view, reference)) is not None:
            return target
        if (named := service_with_container(view, reference)) is not None:
            return LogTarget(service_id=named.meta.id)
        try:
            task = find_task(view, reference)
        except NotFound:
            pass
        else:
            return LogTarget(container_id=task.container_id) if task.container_id else LogTarget(task_id=task.id)
        raise


def find_stack(view: View, stack: str) -> LogTarget:
    """Raises NotFound: no service belongs to it."""
    if not any(service.spec.stack == stack for service in view.services.values()):
        raise NotFound(f'stack "{stack}" not found; list stacks with `shoal stack ls`')
    return LogTarget(stack=stack)


def is_gone(view: View, target: LogTarget) -> bool:
    """Whether it can have no more tasks."""
    if target.task_id:
        return target.task_id not in view.tasks
    if target.stack:
        return not any(each.spec.stack == target.stack for each in view.services.values()) and not tasks_of(
            view, target
        )
    return target.service_id not in view.services and not view.tasks_of(target.service_id)


def _find_slot(view: View, reference: str) -> LogTarget | None:
    name, dot, slot_name = reference.rpartition(".")
    service = view.service_named(name) if dot else None
    if service is None:
        return None
    target = LogTarget(service_id=service.meta.id, slot_name=slot_name)
    return target if any(_is_in_slot(view, target, task) for task in view.tasks_of(service.meta.id).values()) else None


def _is_in_slot(view: View, target: LogTarget, task: Task) -> bool:
    return not target.slot_name or target.slot_name in slot_names(view, task)


def tasks_of(view: View, target: LogTarget) -> list[Task]:
    """Tasks that may have logs: those that their agent has started, and whose logs are kept."""
    if target.task_id:
        found: Iterable[Task] = [view.tasks[target.task_id]] if target.task_id in view.tasks else []
    elif target.stack:
        services = (each.meta.id for each in view.services.values() if each.spec.stack == target.stack)
        found = chain.from_iterable(view.tasks_of(identifier).values() for identifier in services)
    else:
        found = (task for task in view.tasks_of(target.service_id).values() if _is_in_slot(view, target, task))
    return [task for task in found if task.node_id and _has_begun(view, task) and _keeps_log(view, task)]


def require_log(view: View, target: LogTarget) -> None:
    """Check that logs are kept.

    Raises:
        Refused: they are not, nor those of earlier tasks that still exist.
    """
    container = view.containers.get(target.container_id)
    if container is not None and container.definition.task.log.disabled:
        raise Refused(
            f'container "{container.name}" has no logs because its log driver is none; for live output, run `shoal '
            f"attach {container.name}`"
        )
    task = view.tasks.get(target.task_id)
    service = view.services.get(task.service_id if task is not None else target.service_id)
    disabled = service is not None and service.spec.task.log.disabled if task is None else not _keeps_log(view, task)
    if disabled and not tasks_of(view, target):
        name = service.spec.name if service is not None else target.task_id
        raise Refused(
            f'service "{name}" has no logs because its log driver is none; to keep logs, run `shoal '
            f"service update --log-driver local {name}`; for live output, run `shoal attach {name}`"
        )


def _keeps_log(view: View, task: Task) -> bool:
    revision = view.revision_of(task.service_id, task.revision)
    return revision is None or not revision.spec.task.log.disabled


def _has_begun(view: View, task: Task) -> bool:
    return observed_state(task, view.task_status.get(task.id)) >= TaskState.STARTING


def by_node(view: View, tasks: Iterable[Task]) -> list[NodeLogs]:
    """The tasks by node, ordered by hostname."""
    task_ids: dict[str, list[str]] = {}
    for task in tasks:
        task_ids.setdefault(task.node_id, []).append(task.id)
    found = [_node_logs(view, node_id, tuple(identifiers)) for node_id, identifiers in task_ids.items()]
    return sorted(found, key=lambda each: (each.hostname, each.node_id))


def container_logs(view: View, container_id: str) -> list[NodeLogs]:
    """The log of a container, on its node; empty while it has none, or once it is removed."""
    container, node_id = view.containers.get(container_id), node_of(view, container_id)
    if container is None or not container.run or not node_id:
        return []
    return [_node_logs(view, node_id, (container_id,))]


def _node_logs(view: View, node_id: str, tasks: tuple[str, ...]) -> NodeLogs:
    hostname = hostname_of(view, node_id)
    status = view.node_status.get(node_id)
    if status is None or node_id not in view.nodes:
        return NodeLogs(node_id, hostname, None, f"node {hostname} has been removed; {_missing_text(tasks)}", tasks)
    if status.state != NodeStatus.READY:
        why = f"the agent of node {hostname} is restarting" if is_restarting(status) else f"node {hostname} is down"
        return NodeLogs(node_id, hostname, None, f"{why}; {_missing_text(tasks)}", tasks)
    return NodeLogs(node_id, hostname, AgentAddress.of(node_id, status.description), "", tasks)


def _missing_text(tasks: tuple[str, ...]) -> str:
    return "the logs of 1 task are missing" if len(tasks) == 1 else f"the logs of {len(tasks)} tasks are missing"


def source_of(view: View, task_id: str) -> LogSource:
    """Names of a task or a container for the user; for a removed one, its ID."""
    container = view.containers.get(task_id)
    if container is not None:
        hostname = hostname_of(view, node_of(view, task_id))
        return LogSource(task_id=task_id, task_name=container.name, node_hostname=hostname, is_container=True)
    task = view.tasks.get(task_id)
    if task is None:
        return LogSource(task_id=task_id, task_name=task_id)
    revision = view.revision_of(task.service_id, task.revision)
    name = task_name(revision.spec.name if revision is not None else task.service_id, task)
    return LogSource(task_id=task_id, task_name=name, node_hostname=hostname_of(view, task.node_id))
