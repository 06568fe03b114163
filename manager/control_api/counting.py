"""How many tasks of a service are wanted, run, stop, and why it does not go on. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from manager.planner import constraints
from manager.store.tables import View
from shoal.api.v1.control_pb2 import ServiceProgress, ServiceView
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.errors import InvalidInput
from shoal.task_states import is_terminal, is_wanted, observed

PROBLEMS_SHOWN = 5
_FAILED = frozenset({TaskState.FAILED, TaskState.REJECTED})


@dataclass
class Count:
    """A service's tasks, counted once.

    Attributes:
        wanted: tasks that are to run, of any revision.
        running: of the wanted revision, and they do.
        stopping: are to stop and have not, on nodes that can still say so.
        unreachable: are to stop, but their nodes are down.
        by_state: those that are to run, by observed state.
    """

    wanted: int = 0
    running: int = 0
    running_any: int = 0
    stopping: int = 0
    unreachable: int = 0
    by_state: Counter[int] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    pending: Counter[str] = field(default_factory=Counter)


def desired(view: View, service: Service) -> int:
    """The replicas, or the number of nodes that a global service's placement admits now."""
    if service.spec.WhichOneof("mode") != "global":
        return service.spec.replicated.replicas
    return sum(1 for _ in _admitted(view, service))


def _admitted(view: View, service: Service) -> Iterator[str]:
    try:
        rules = [constraints.parse(text) for text in service.spec.task.placement.constraints]
    except InvalidInput:  # written by another version of Shoal: the planner tells of it
        return
    occupied = {task.node_id for task in view.tasks_of(service.meta.id).values() if is_wanted(task)}
    for identifier, node in view.nodes.items():
        status = view.node_status.get(identifier)
        if status is None or status.state != NodeStatus.READY or node.spec.availability == NodeSpec.DRAIN:
            continue
        if node.spec.availability == NodeSpec.PAUSE and identifier not in occupied:
            continue
        if all(rule.admits(node, status) for rule in rules):
            yield identifier


def count(view: View, service_id: str, task_revision: int) -> Count:
    """Look at each task of the service once. `task_revision` is the oldest whose tasks need no replacement."""
    counted = Count()
    for task in view.tasks_of(service_id).values():
        status = view.task_status.get(task.id)
        state = observed(task, status)
        if is_wanted(task) and not is_terminal(state):
            counted.wanted += 1
            counted.by_state[state] += 1
            if state == TaskState.RUNNING:
                counted.running_any += 1
                counted.running += task.revision >= task_revision
        elif not is_terminal(state) and task.node_id:
            _count_stopping(view, task, counted)
        _note_trouble(task, status, state, task_revision, counted)
    return counted


def _count_stopping(view: View, task: Task, counted: Count) -> None:
    node = view.node_status.get(task.node_id)
    if node is None or node.state == NodeStatus.READY:
        counted.stopping += 1
    else:
        counted.unreachable += 1


def _note_trouble(task: Task, status: TaskStatus | None, state: int, task_revision: int, counted: Count) -> None:
    if state in _FAILED and status is not None and task.revision >= task_revision:
        counted.failures.append((status.at_ms, status.message or f"ended with exit code {status.exit_code}"))
    elif state == TaskState.PENDING and is_wanted(task) and task.reason:
        counted.pending[task.reason] += 1


def service_view(view: View, service: Service) -> ServiceView:
    """What lists and `inspect` show."""
    counted = count(view, service.meta.id, service.task_revision)
    return ServiceView(
        service=service,
        status=view.service_status.get(service.meta.id),
        desired=desired(view, service),
        running=counted.running_any,
    )


def progress(view: View, service: Service) -> ServiceProgress:
    """How far the service is.

    It has converged when as many tasks as desired are to run, all of them do, all of the wanted revision, and none is
    still to stop. That says at once that the planner has acted on the newest spec: any older one's tasks differ in
    number or in revision.
    """
    counted = count(view, service.meta.id, service.task_revision)
    wanted = desired(view, service)
    converged = counted.running == counted.wanted == wanted and not counted.stopping
    return ServiceProgress(
        service_id=service.meta.id,
        name=service.spec.name,
        desired=wanted,
        running=counted.running,
        stopping=counted.stopping,
        by_state=dict(counted.by_state),
        problems=[] if converged else list(_problems(view, service, counted)),
        converged=converged,
    )


def removal_progress(view: View, service_id: str, name: str) -> ServiceProgress:
    """How far the removal is: `converged` when the service is gone, and its tasks too."""
    counted = count(view, service_id, 0)
    remaining = counted.stopping + counted.wanted
    gone = service_id not in view.services and remaining == 0
    return ServiceProgress(service_id=service_id, name=name, stopping=remaining, converged=gone)


def _problems(view: View, service: Service, counted: Count) -> Iterator[str]:
    status = view.service_status.get(service.meta.id)
    lines = list(status.problems) if status is not None else []
    lines += [f"{number} pending: {reason}" for reason, number in counted.pending.most_common()]
    lines += [message for _, message in sorted(counted.failures, reverse=True)]
    if counted.unreachable:
        lines.append(f"{counted.unreachable} to be stopped on nodes that are down")
    yield from list(dict.fromkeys(lines))[:PROBLEMS_SHOWN]
