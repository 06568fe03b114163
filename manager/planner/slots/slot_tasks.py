"""A slot's tasks by what they mean for it: active, stopping, unreachable, ended. A global service has a slot a node."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from manager.planner.draft import Draft
from manager.planner.index.slot_index import ServiceSlots, SlotKey, age
from manager.planner.spec.running_template import DesiredTemplate
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_live, is_ready, is_terminal, should_run

# A look-up in an enum costs as much as a decision.
_RUNNING, _REMOVE = TaskState.RUNNING, TaskState.REMOVE

FAILURE_WINDOW_MS = 5 * 60_000
"""How long a task that failed counts against its node."""

FAILURES = frozenset({TaskState.FAILED, TaskState.REJECTED})

ORPHAN_AFTER_MS = 24 * 3600 * 1000
"""How long a node is down before its tasks are orphaned, and their addresses and ports released."""


class TaskStop(NamedTuple):
    """A task to stop: the arguments of `Draft.stop`.

    Attributes:
        desired: SHUTDOWN or REMOVE.
        reason: one line for the user.
    """

    task: Task
    desired: TaskState.ValueType
    reason: str


@dataclass(slots=True)
class Slot:
    """The tasks of one slot.

    Attributes:
        active: to run, and not ended.
        stopping: to be stopped but still running, on a node that can report their end.
        unreachable: on a node that is down; they keep their resources, and nothing waits for their end.
        ended: the oldest first. The newest is still to run when nothing has been decided about its end.
    """

    key: SlotKey
    active: list[Task] = field(default_factory=list)
    stopping: list[Task] = field(default_factory=list)
    unreachable: list[Task] = field(default_factory=list)
    ended: list[Task] = field(default_factory=list)

    def is_occupied(self) -> bool:
        """It belongs to the service's replicas: not all of its tasks are to be removed."""
        return any(task.desired_state < _REMOVE for task in self.all())

    def parts(self) -> tuple[list[Task], list[Task], list[Task], list[Task]]:
        """Its active, stopping, unreachable and ended tasks, to be changed."""
        return self.active, self.stopping, self.unreachable, self.ended

    def all(self) -> Iterable[Task]:
        return chain(self.active, self.stopping, self.unreachable, self.ended)

    def restart_candidate(self) -> Task | None:
        """The newest ended task when it is still to run: the restart policy has to decide about it."""
        newest = self.ended[-1] if self.ended else None
        return newest if newest is not None and newest.desired_state <= _RUNNING else None


def classify_dirty(draft: Draft, index: ServiceSlots) -> dict[SlotKey, Slot]:
    """The dirty slots with their tasks. Tasks of removed nodes are deleted, those of nodes that are down stopped."""
    slots: dict[SlotKey, Slot] = {}
    nodes = draft.view.nodes
    for key, tasks in index.dirty_slots():
        slot = slots[key] = Slot(key)
        for task in tasks if len(tasks) == 1 else sorted(tasks, key=age):
            if task.node_id and task.node_id not in nodes:
                draft.delete_task(task)
            else:
                _classify(draft, slot, task)
    return slots


def settle(draft: Draft, index: ServiceSlots, slot: Slot) -> None:
    """Settle the slot: a decision about it had no effect, so that none is needed until something changes.

    Unless time alone may make a difference: tasks that fail count against their node for a while.
    """
    if slot.stopping or slot.unreachable or len(slot.active) > 1:
        return
    statuses = draft.view.task_status
    for task in slot.ended:
        status = statuses.get(task.id)
        if status is None or (status.state in FAILURES and status.at_ms >= draft.now_ms - FAILURE_WINDOW_MS):
            return
    index.settle(slot.key, slot.active[0].node_id if slot.active else "")


def settle_ready(
    draft: Draft,
    index: ServiceSlots,
    desired: DesiredTemplate,
    misplaced: Callable[[Task], str] | None,
    *,
    canaries: bool,
) -> None:
    """Settle slots without deciding about them whose only task is ready on a healthy node.

    Args:
        misplaced: why a task is to leave its node; None when none is.
        canaries: the update has some: outdated tasks may have to move before it replaces them.

    A decision about them would have no effect. Most slots are so most of the time: it makes the first pass of a new
    leader short, and the pass in which an update begins.
    """
    nodes, statuses = draft.view.nodes, draft.view.task_status
    for key in list(index.dirty):
        tasks = index.tasks[key]
        task = tasks[0]
        if len(tasks) > 1 or task.desired_state > _RUNNING:
            continue
        node_id = task.node_id
        is_well = node_id in nodes and not draft.down_status(node_id) and not draft.is_drained(node_id)
        if not is_well or not is_ready(task, statuses.get(task.id)):
            continue
        if task.revision == desired.revision:
            if misplaced is None or not misplaced(task):
                index.settle(key, node_id)
        elif desired.differs(task) and not (task.network_task_id or (canaries and misplaced and misplaced(task))):
            index.settle_outdated(key, task)


def remove_slot(draft: Draft, slot: Slot, reason: str) -> None:
    """Remove the slot: what runs is stopped and then deleted, what has ended is deleted at once."""
    for task in slot.all():
        draft.stop(task, TaskState.REMOVE, reason)
    for task in slot.ended:
        draft.delete_task(task)


def keep_best(draft: Draft, tasks: list[Task], reason: str) -> tuple[Task, tuple[TaskStop, ...]]:
    """The task to keep: if possible it is ready, then has a node, then is the newest. All others are to be stopped."""
    if len(tasks) == 1:
        return tasks[0], ()
    statuses = draft.view.task_status
    best = max(tasks, key=lambda task: (is_ready(task, statuses.get(task.id)), bool(task.node_id), age(task)))
    return best, tuple(TaskStop(task, TaskState.SHUTDOWN, reason) for task in tasks if task is not best)


def retire_ended(slot: Slot) -> tuple[TaskStop, ...]:
    """Stops of the ended tasks of the slot, whose successor is decided."""
    return tuple(TaskStop(task, TaskState.SHUTDOWN, "replaced by its successor") for task in slot.ended)


def stop_slot(slot: Slot, reason: str) -> tuple[TaskStop, ...]:
    """Stops of all that runs; the slot gets a successor later. The tasks become stopping ones of the slot."""
    stops = tuple(TaskStop(task, TaskState.SHUTDOWN, reason) for task in slot.active if task.node_id)
    _become_stopping(slot, stops)
    return stops


def stop_orphaned_sharers(draft: Draft, slot: Slot) -> tuple[TaskStop, ...]:
    """Stops of tasks that share the network of a task that is to stop or has ended; successors share the next one's.

    Tasks that this very plan stops count in the next pass only: another service may preempt the provider's task in a
    pass that plans neither of the two.
    """
    view = draft.view
    stops: list[TaskStop] = []
    for task in slot.active:
        if not task.network_task_id:
            continue
        provider = view.tasks.get(task.network_task_id)
        is_there = provider is not None and provider.service_id in view.services
        if provider is None or not (
            is_there and should_run(provider) and is_live(provider, view.task_status.get(provider.id))
        ):
            reason = f"task {task.network_task_id}, whose network it shared, has stopped"
            stops.append(TaskStop(task, TaskState.SHUTDOWN, reason))
    _become_stopping(slot, stops)
    return tuple(stops)


def _become_stopping(slot: Slot, stops: Sequence[TaskStop]) -> None:
    for stop in stops:
        slot.active.remove(stop.task)
        slot.stopping.append(stop.task)


def counts_by_node(draft: Draft, index: ServiceSlots, slots: Mapping[SlotKey, Slot]) -> dict[str, int]:
    """How many active tasks of the service each node has.

    Args:
        slots: those that were dirty when the pass began.
    """
    counts = Counter(index.settled_by_node)
    dirty = (slot for slot in slots.values() if slot.key not in index.settled)
    staying = (task for slot in dirty for task in slot.active if not draft.is_stopping(task))
    counts.update(task.node_id for task in staying if task.node_id)
    return counts


def _classify(draft: Draft, slot: Slot, task: Task) -> None:
    if is_terminal(draft.state(task)):
        slot.ended.append(task)
    elif (status := draft.down_status(task.node_id)) is not None:
        _stop_unreachable(draft, slot, task, status)
    elif task.desired_state <= _RUNNING:
        slot.active.append(task)
    else:
        slot.stopping.append(task)


def _stop_unreachable(draft: Draft, slot: Slot, task: Task, status: NodeStatus) -> None:
    name = status.description.hostname or task.node_id
    slot.unreachable.append(task)
    orphaned_at = min(status.since_ms, draft.now_ms) + ORPHAN_AFTER_MS
    if draft.now_ms >= orphaned_at:
        draft.orphan(task, f"node {name} has been down for 24 hours")
        return
    draft.requeue_at(task.service_id, orphaned_at)
    draft.stop(task, TaskState.SHUTDOWN, f"node {name} is down")
