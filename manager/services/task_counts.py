"""Counts of a service's tasks: desired, running, stopping, and why it does not converge. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from manager.networks.host_port_conflicts import unreachable_ports
from manager.planner.spec.effective_spec import current_update, effective, rolled_back_to, spec_in_force
from manager.services.placement_compliance import misplaced
from manager.store.tables import View
from manager.validation.eligible_nodes import rules_of
from shoal.api.v1.control_pb2 import ServiceProgress, ServiceView
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import RestartPolicy, Service, UpdateControl, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.networks.network_modes import network_provider
from shoal.networks.published_ports import is_assigned, mesh_ports
from shoal.task_states import is_ready, is_terminal, observed_state, should_run

K = TypeVar("K")

PROBLEMS_SHOWN = 5
_KEEPS_TASKS = frozenset({NodeStatus.READY, NodeStatus.UNKNOWN})
"""States of nodes that keep their tasks."""
_FAILED = frozenset({TaskState.FAILED, TaskState.REJECTED})
_ENDED = frozenset({TaskState.FAILED, TaskState.COMPLETE})
SUCCESS_IS_FINAL = frozenset({RestartPolicy.NONE, RestartPolicy.ON_FAILURE})
"""With these, a task that has ended with exit code 0 is complete and is not restarted."""
UPDATE_ENDED = frozenset({UpdateStatus.COMPLETED, UpdateStatus.ROLLED_BACK})
_HALTED = frozenset({UpdateStatus.PAUSED, UpdateStatus.CANARY})


@dataclass
class TaskCounts:
    """Task counts of one service.

    Attributes:
        active: tasks that should run, of any revision.
        running: ready tasks of the current revisions: healthy, if they have a health check.
        running_any: ready tasks of any revision.
        stopping: should stop and have not yet, on nodes that respond.
        unreachable: should stop, but their nodes do not respond.
        by_state: active tasks, by observed state.
        failures: of the current revisions, by time and message.
        pending: waiting for a node, by reason.
        unready: running but not ready, by reason.
        done: completed successfully, of the current revisions.
        unreplaced: ended, without another task in their slots yet.
        healthy: those of `running` whose health check has passed.
        ended: IDs of tasks of the current revisions that have ended by themselves, with any exit code.
    """

    active: int = 0
    running: int = 0
    running_any: int = 0
    healthy: int = 0
    done: int = 0
    unreplaced: int = 0
    stopping: int = 0
    unreachable: int = 0
    by_state: Counter[int] = field(default_factory=Counter)
    failures: Counter[tuple[int, str]] = field(default_factory=Counter)
    pending: Counter[str] = field(default_factory=Counter)
    unready: Counter[str] = field(default_factory=Counter)
    ended: set[str] = field(default_factory=set)

    def add(self, task: Task, status: TaskStatus | None, responding: bool, current: range, sign: int = 1) -> None:
        """Count a task, or (with sign -1) uncount one that was counted with the same values.

        Args:
            responding: its node responds.
            current: the revisions whose tasks need no replacement.
        """
        state = observed_state(task, status)
        self.unreplaced += sign * (should_run(task) and is_terminal(state))
        if should_run(task) and not is_terminal(state):
            self.active += sign
            _add(self.by_state, state, sign)
            if is_ready(task, status):
                self.running_any += sign
                self.running += sign * (task.revision in current)
                self.healthy += sign * (task.revision in current and _is_healthy(status))
        elif not is_terminal(state) and task.node_id:
            self.stopping += sign * responding
            self.unreachable += sign * (not responding)
        elif state == TaskState.COMPLETE and should_run(task) and task.revision in current:
            self.done += sign
        self._add_problem(task, status, state, current, sign)

    def _add_problem(self, task: Task, status: TaskStatus | None, state: int, current: range, sign: int) -> None:
        if state in _ENDED and task.revision in current:
            (self.ended.add if sign > 0 else self.ended.discard)(task.id)
        if state in _FAILED and status is not None and task.revision in current:
            _add(self.failures, (status.at_ms, status.message or f"exited with code {status.exit_code}"), sign)
        elif state == TaskState.PENDING and should_run(task) and task.reason:
            _add(self.pending, task.reason, sign)
        elif state == TaskState.RUNNING and status is not None and should_run(task) and not is_ready(task, status):
            why = "not listening on published ports yet" if status.not_listening else "not healthy yet"
            _add(self.unready, f"{why}{status.health_output and ': ' + status.health_output}", sign)


def _is_healthy(status: TaskStatus | None) -> bool:
    return status is not None and status.health == TaskStatus.HEALTHY


def _add(counter: Counter[K], key: K, sign: int) -> None:
    """Add to a counter; entries that reach zero are removed."""
    counter[key] += sign
    if not counter[key]:
        del counter[key]


def desired(view: View, service: Service) -> int:
    """The replicas, or the number of nodes that are eligible for a global service now."""
    if service.spec.WhichOneof("mode") != "global":
        return service.spec.replicated.replicas
    eligible = set(_eligible_nodes(view, service))
    if provider := view.service_named(network_provider(service.spec.task)):
        eligible &= set(_eligible_nodes(view, effective(view, provider)))
    return len(eligible)


def _eligible_nodes(view: View, service: Service) -> Iterator[str]:
    """IDs of nodes that a global service should have a task on: those that accept one, or keep the one they have."""
    rules = rules_of(service.spec.task.placement)
    if rules is None:
        return
    occupied = {task.node_id for task in view.tasks_of(service.meta.id).values() if should_run(task)}
    for identifier, node in view.nodes.items():
        status = view.node_status.get(identifier)
        if status is None or status.state not in _KEEPS_TASKS or node.spec.availability == NodeSpec.DRAIN:
            continue
        takes_more = status.state == NodeStatus.READY and node.spec.availability != NodeSpec.PAUSE
        if (takes_more or identifier in occupied) and rules.allow(node, status):
            yield identifier


TaskCounter = Callable[[View, str, range], TaskCounts]
"""`count_tasks`, or `IncrementalCounts.count`."""


def count_tasks(view: View, service_id: str, current: range) -> TaskCounts:
    """Count the tasks of a service. `current` are the revisions whose tasks need no replacement."""
    counted = TaskCounts()
    for task in view.tasks_of(service_id).values():
        counted.add(task, view.task_status.get(task.id), node_responds(view, task.node_id), current)
    return counted


def node_responds(view: View, node_id: str) -> bool:
    """Whether the node can report that a task has stopped."""
    node = view.node_status.get(node_id)
    return node is None or node.state == NodeStatus.READY


def service_view(view: View, service: Service) -> ServiceView:
    """A service as listed and inspected."""
    counted = count_tasks(view, service.meta.id, current_revisions(effective(view, service)))
    return ServiceView(
        service=_with_spec_in_force(view, service),
        rolled_back_from=service.task_revision if rolled_back_to(view, service) else 0,
        status=view.service_status.get(service.meta.id),
        desired=desired(view, effective(view, service)),
        running=counted.running_any,
        autoscale_status=view.autoscales.get(service.meta.id) if service.spec.HasField("autoscale") else None,
        warnings=unreachable_ports(view, service),
    )


def _with_spec_in_force(view: View, service: Service) -> Service:
    """The service as users see and change it: after a rollback, without the template that failed."""
    if not rolled_back_to(view, service):
        return service
    shown = Service()
    shown.CopyFrom(service)
    shown.spec.CopyFrom(spec_in_force(view, service))
    return shown


def progress(view: View, service: Service, counter: TaskCounter = count_tasks) -> ServiceProgress:
    """Progress of a service towards its desired state.

    It has converged when the desired number of tasks are ready, all of a current revision, none is still stopping, an
    update has ended, its ingress ports are those of the spec, and its tasks are where its placement allows. So the
    planner has acted on the newest spec: for any older one, the tasks differ in number, revision or node, or the
    ports do.
    """
    in_force = effective(view, service)
    counted = counter(view, service.meta.id, current_revisions(in_force))
    target = desired(view, in_force)
    update = current_update(view, service)
    done = counted.done if in_force.spec.task.restart.condition in SUCCESS_IS_FINAL else 0
    reached = counted.running == counted.active == target - done
    ended = not counted.stopping and not _is_in_progress(update)
    converged = reached and ended and _ports_match(view, in_force) and not misplaced(view, in_force)
    return ServiceProgress(
        service_id=service.meta.id,
        name=service.spec.name,
        desired=target,
        running=counted.running,
        completed=done,
        stopping=counted.stopping,
        by_state=dict(counted.by_state),
        problems=[] if converged else list(problems_of(view, service, counted)),
        converged=converged,
        update=update or _pending_update(counted),
        stalled=update is not None and _waits_for_user(update, service.update_control) and _is_at_rest(counted, target),
    )


def _pending_update(counted: TaskCounts) -> UpdateStatus | None:
    """The update that the planner has not recorded yet: running tasks have an older template."""
    return UpdateStatus(state=UpdateStatus.UPDATING) if counted.running_any > counted.running else None


def _ports_match(view: View, service: Service) -> bool:
    """Whether the planner has assigned the ingress ports that the spec requests, and no others."""
    requested = mesh_ports(service.spec)
    status = view.service_status.get(service.meta.id)
    assigned = status.mesh_ports if status is not None else ()
    return len(requested) == len(assigned) and all(
        any(is_assigned(port, by=other) for other in assigned) for port in requested
    )


def current_revisions(service: Service) -> range:
    """Revisions whose tasks run the template in force."""
    return range(service.task_revision, service.revision + 1)


def _waits_for_user(update: UpdateStatus, control: UpdateControl) -> bool:
    """Whether the update waits for the user, who has not acted since."""
    if control.task_revision != update.task_revision:
        return update.state in _HALTED
    if update.state == UpdateStatus.CANARY:
        return not control.promoted
    return update.state == UpdateStatus.PAUSED and control.resume_count == update.resume_count


def _is_at_rest(counted: TaskCounts, target: int) -> bool:
    """Whether each slot has a task and nothing is in progress: a service whose update waits may be scaled and moved.

    Tasks that wait for a node, or are not ready, may remain so forever, and are reported as problems.
    """
    in_progress = counted.active - counted.by_state[TaskState.RUNNING] - counted.pending.total()
    return counted.active + counted.unreplaced == target and not in_progress and not counted.stopping


def _is_in_progress(update: UpdateStatus | None) -> bool:
    # New tasks have to run for a while before they are available, and the planner decides when they are.
    return update is not None and update.state not in UPDATE_ENDED


def removal_progress(view: View, service_id: str, name: str, counter: TaskCounter = count_tasks) -> ServiceProgress:
    """Progress of a removal: `converged` when the service and its tasks are gone."""
    counted = counter(view, service_id, range(0))
    remaining = counted.stopping + counted.active
    gone = service_id not in view.services and remaining == 0
    return ServiceProgress(service_id=service_id, name=name, stopping=remaining, converged=gone)


def problems_of(view: View, service: Service, counted: TaskCounts) -> Iterator[str]:
    """Why the service does not converge: the planner's reasons, then failures of tasks."""
    status = view.service_status.get(service.meta.id)
    lines = list(status.problems) if status is not None else []
    update = current_update(view, service)
    if status is not None and status.planning_error:
        lines.insert(0, status.planning_error)
    if update is not None and update.message:
        lines.insert(
            0, f"the update is {UpdateStatus.State.Name(update.state).lower().replace('_', ' ')}: {update.message}"
        )
    lines += unreachable_ports(view, service)
    lines += [f"{number} pending: {reason}" for reason, number in counted.pending.most_common()]
    lines += [f"{number} {text}" for text, number in counted.unready.most_common()]
    lines += [message for _, message in sorted(counted.failures, reverse=True)]
    if counted.unreachable:
        lines.append(f"{counted.unreachable} tasks to be stopped are on nodes that are down")
    yield from list(dict.fromkeys(lines))[:PROBLEMS_SHOWN]
