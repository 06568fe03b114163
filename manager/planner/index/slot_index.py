"""Index of each service's tasks by slot, kept between passes, with the slots that the next pass has to decide about.

A slot is settled when the last decision about it had no effect: another one would have none, until a record of its
tasks or of their nodes changes, or the service does. Then it is dirty until a decision has no effect again. Which slots
are settled changes the cost of a pass and never its result.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import repeat
from operator import attrgetter, eq

from manager.store.tables import View
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus

_RUNNING = TaskState.RUNNING

_BATCH_SIZE = 1_000
"""How many tasks are compared without a pause."""

_SLOT, _STATE = attrgetter("slot"), attrgetter("state")
_NO_STATUS = TaskStatus()

SlotKey = int | str
"""The slot's number; a node's id for a global service."""


def slot_key(task: Task) -> SlotKey:
    """The slot that the task belongs to; it never changes."""
    return task.slot or task.node_id


def age(task: Task) -> tuple[int, int, str]:
    """Sorts the oldest first."""
    return task.created_at_ms, task.attempt, task.id


class ServiceSlots:
    """One service's slots.

    Attributes:
        tasks: by slot, ended ones too.
        dirty: slots to decide about.
        settled: the other slots, with the node of the task that runs there (empty when none does).
        settled_by_node: how many of the settled slots' tasks each node runs.
        outdated: those of the settled slots whose task waits for an update to replace it, with the task's revision.
        revision: the desired one that slots are settled by.
        monitored_since_ms: tasks created since then were monitored before their slots settled; 0: none were.
    """

    __slots__ = ("dirty", "monitored_since_ms", "outdated", "revision", "settled", "settled_by_node", "tasks")

    def __init__(self) -> None:
        self.tasks: dict[SlotKey, tuple[Task, ...]] = {}
        self.dirty: set[SlotKey] = set()
        self.settled: dict[SlotKey, str] = {}
        self.settled_by_node: dict[str, int] = {}
        self.outdated: dict[SlotKey, int] = {}
        self.revision = 0
        self.monitored_since_ms = 0

    def update(self, task_id: str, key: SlotKey, task: Task | None) -> None:
        """The record of a task of this slot has changed, or is gone."""
        before = self.tasks.get(key, ())
        others = tuple(other for other in before if other.id != task_id) if before else ()
        after = (*others, task) if task is not None else others
        if after:
            self.tasks[key] = after
        else:
            self.tasks.pop(key, None)
        self.mark_dirty(key)

    def mark_dirty(self, key: SlotKey) -> None:
        """Make the slot dirty: the next pass decides about it."""
        node_id = self.settled.pop(key, None)
        self.outdated.pop(key, None)
        if node_id:
            left = self.settled_by_node[node_id] - 1
            if left:
                self.settled_by_node[node_id] = left
            else:
                del self.settled_by_node[node_id]
        if key in self.tasks:
            self.dirty.add(key)
        else:
            self.dirty.discard(key)

    def mark_all_dirty(self) -> None:
        """Make every slot dirty."""
        if self.settled:
            self.dirty.update(self.settled)
            self.settled.clear()
            self.settled_by_node.clear()
            self.outdated.clear()

    def retarget(self, revision: int, since_ms: int) -> None:
        """Make slots dirty whose decision may differ: this revision is desired, and newer tasks are monitored.

        Args:
            since_ms: tasks created since then are monitored, 0: none are. Milliseconds since the Unix epoch.
        """
        if self.revision != revision:
            self.mark_all_dirty()
        elif since_ms and since_ms != self.monitored_since_ms:
            for key in [key for key in self.settled if any(t.created_at_ms >= since_ms for t in self.tasks[key])]:
                self.mark_dirty(key)
        self.revision, self.monitored_since_ms = revision, since_ms

    def mark_outdated_dirty(self, limit: int) -> None:
        """Make the first so many of the slots dirty that an update is still to replace."""
        for key in nsmallest(limit, self.outdated, key=lambda key: (key, "") if isinstance(key, int) else (0, key)):
            self.mark_dirty(key)

    def settle_outdated(self, key: SlotKey, task: Task) -> None:
        """Settle a slot whose only task an update is to replace later."""
        self.settle(key, task.node_id)
        self.outdated[key] = task.revision

    def settle(self, key: SlotKey, node_id: str) -> None:
        """Settle the slot: a decision about it had no effect."""
        if key in self.dirty:
            self.dirty.remove(key)
            self.settled[key] = node_id
            if node_id:
                self.settled_by_node[node_id] = self.settled_by_node.get(node_id, 0) + 1

    def task_count(self) -> int:
        """How many tasks there are."""
        return sum(map(len, self.tasks.values()))

    def dirty_slots(self) -> list[tuple[SlotKey, tuple[Task, ...]]]:
        """The dirty slots with their tasks, numbers before nodes, each in order."""
        numbers = sorted(key for key in self.dirty if isinstance(key, int))
        nodes = sorted(key for key in self.dirty if isinstance(key, str))
        order: list[SlotKey] = [*numbers, *nodes]
        return [(key, self.tasks[key]) for key in order]


@dataclass(frozen=True)
class AuditBatch:
    """Some tasks of a service, compared with the view.

    Attributes:
        differences: ids of those that differ from the view.
        status_count: how many of them have a status.
    """

    differences: Sequence[str]
    status_count: int


class SlotIndex:
    """The slots of all services that have tasks."""

    def __init__(self) -> None:
        self._services: dict[str, ServiceSlots] = {}

    @staticmethod
    def of(view: View, services: Iterable[str]) -> "SlotIndex":
        """The rolls of a whole view, every slot loud."""
        index = SlotIndex()
        for service_id in services:
            index.load(view, service_id)
        return index

    def load(self, view: View, service_id: str) -> None:
        """Take over all tasks of a service as the view has them, every slot loud."""
        slots: dict[SlotKey, tuple[Task, ...]] = {}
        for task in view.tasks_of(service_id).values():
            key = task.slot or task.node_id
            slots[key] = (*slots[key], task) if key in slots else (task,)
        if slots:
            index = self._services[service_id] = ServiceSlots()
            index.tasks, index.dirty = slots, set(slots)
        else:
            self._services.pop(service_id, None)

    def of_service(self, service_id: str) -> ServiceSlots:
        """That of one service; an empty one that is not kept when it has no tasks."""
        found = self._services.get(service_id)
        return found if found is not None else ServiceSlots()

    def update(self, task_id: str, old: Task | None, new: Task | None) -> None:
        """A task's record has changed."""
        task = new if new is not None else old
        if task is None:
            return
        index = self._services.get(task.service_id)
        if index is None:
            index = self._services[task.service_id] = ServiceSlots()
        index.update(task_id, slot_key(task), new)
        if not index.tasks:
            del self._services[task.service_id]

    def mark_dirty(self, task: Task) -> None:
        """Make the slot of the task dirty: something that its decision depends on has changed."""
        self.of_service(task.service_id).mark_dirty(slot_key(task))

    def audit(self, view: View) -> Iterator["AuditBatch"]:
        """Compare all tasks with the view, with pauses in which the view may change."""
        for service_id in list(view.services_with_tasks()):
            identifiers, tasks = list(view.tasks_of(service_id)), list(view.tasks_of(service_id).values())
            for first in range(0, len(identifiers), _BATCH_SIZE):
                batch = slice(first, first + _BATCH_SIZE)
                yield self._compare(view, service_id, identifiers[batch], tasks[batch])

    def repair(self, view: View, task_ids: Iterable[str]) -> int:
        """Reload what differs from the view; how many tasks that were. None, unless a change was lost."""
        found = 0
        for identifier in task_ids:
            task = view.tasks.get(identifier)
            if task is not None and self._stale_tasks(view, task.service_id, [identifier]):
                self.update(identifier, None, task)
                found += 1
        for service_id in [*self._services]:
            surplus = self.of_service(service_id).task_count() - len(view.tasks_of(service_id))
            if surplus:
                self.load(view, service_id)
                found += abs(surplus)
        return found

    def _compare(self, view: View, service_id: str, identifiers: Sequence[str], tasks: Sequence[Task]) -> "AuditBatch":
        """Compare some tasks: as a whole first, one by one when something may differ."""
        if self._is_current(view, service_id, identifiers, tasks):
            return AuditBatch((), len(identifiers))
        status_count = sum(identifier in view.task_status for identifier in identifiers)
        return AuditBatch(self._stale_tasks(view, service_id, identifiers), status_count)

    def _is_current(self, view: View, service_id: str, identifiers: Sequence[str], tasks: Sequence[Task]) -> bool:
        """Whether each of the tasks is the only one of its slot, as in the index, and runs, as most are.

        Runs no Python code for each task, since a million of them are compared every minute.
        """
        keys: Iterable[SlotKey] = [*map(_SLOT, tasks)]
        if 0 in keys:
            keys = [*map(slot_key, tasks)]
        known = map(self.of_service(service_id).tasks.get, keys)
        states = map(_STATE, map(view.task_status.get, identifiers, repeat(_NO_STATUS)))
        return all(map(eq, zip(tasks, strict=True), known)) and all(map(eq, states, repeat(_RUNNING)))

    def _stale_tasks(self, view: View, service_id: str, identifiers: Iterable[str]) -> list[str]:
        tasks, status_of = view.tasks_of(service_id), view.task_status.get
        index = self.of_service(service_id)
        known_in, node_of, found = index.tasks.get, index.settled.get, []
        for identifier in identifiers:
            task = tasks.get(identifier)
            if task is None:
                continue
            key = task.slot or task.node_id
            known = known_in(key, ())
            if not any(other is task for other in known) if len(known) != 1 else known[0] is not task:
                found.append(identifier)
            elif len(known) == 1 and node_of(key):
                status = status_of(identifier)
                if status is None or status.state != _RUNNING:
                    found.append(identifier)
        return found
