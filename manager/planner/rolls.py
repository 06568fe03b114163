"""Each service's tasks by slot, kept between passes, and which slots a pass has to decide about.

A slot is quiet when the last decision about it left nothing to do: deciding again would leave nothing again, until a
record of one of its tasks or of their nodes changes, or the service does. Then it is loud, and stays so until it has
been decided about without effect. Which slots are quiet changes the cost of a pass and never its result.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import repeat
from operator import attrgetter, eq

from manager.store.tables import View
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus

_RUNNING = TaskState.RUNNING

_PORTION = 1_000
"""Tasks that are compared without a pause."""

_SLOT, _STATE = attrgetter("slot"), attrgetter("state")
_UNTOLD = TaskStatus()

Key = int | str
"""The slot's number; a node's id for a global service."""


def key_of(task: Task) -> Key:
    """The slot that the task belongs to; it never changes."""
    return task.slot or task.node_id


class Roll:
    """One service's slots.

    Attributes:
        tasks: by slot, ended ones too.
        loud: slots to decide about.
        quiet: the other slots, with the node of the task that runs there (empty when none does).
        homes: how many of the quiet slots' tasks each node runs.
        outdated: those of the quiet slots whose task waits for an update to replace it, with the task's revision.
        revision: the wanted one that slots are quiet by.
        since_ms: tasks made since then had to prove themselves when slots became quiet; 0: none had to.
    """

    __slots__ = ("homes", "loud", "outdated", "quiet", "revision", "since_ms", "tasks")

    def __init__(self) -> None:
        self.tasks: dict[Key, tuple[Task, ...]] = {}
        self.loud: set[Key] = set()
        self.quiet: dict[Key, str] = {}
        self.homes: dict[str, int] = {}
        self.outdated: dict[Key, int] = {}
        self.revision = 0
        self.since_ms = 0

    def put(self, identifier: str, key: Key, task: Task | None) -> None:
        """The record of a task of this slot has become another one, or is gone."""
        before = self.tasks.get(key, ())
        others = tuple(other for other in before if other.id != identifier) if before else ()
        after = (*others, task) if task is not None else others
        if after:
            self.tasks[key] = after
        else:
            self.tasks.pop(key, None)
        self.wake(key)

    def wake(self, key: Key) -> None:
        """Decide about the slot in the next pass."""
        home = self.quiet.pop(key, None)
        self.outdated.pop(key, None)
        if home:
            left = self.homes[home] - 1
            if left:
                self.homes[home] = left
            else:
                del self.homes[home]
        if key in self.tasks:
            self.loud.add(key)
        else:
            self.loud.discard(key)

    def wake_all(self) -> None:
        """Decide about every slot in the next pass."""
        if self.quiet:
            self.loud.update(self.quiet)
            self.quiet.clear()
            self.homes.clear()
            self.outdated.clear()

    def follow(self, revision: int, since_ms: int) -> None:
        """Wake what may be decided otherwise now: this revision is wanted, and newer tasks have to prove themselves.

        Args:
            since_ms: 0 when none has to. Milliseconds since the Unix epoch.
        """
        if self.revision != revision:
            self.wake_all()
        elif since_ms and since_ms != self.since_ms:
            for key in [key for key in self.quiet if any(t.created_at_ms >= since_ms for t in self.tasks[key])]:
                self.wake(key)
        self.revision, self.since_ms = revision, since_ms

    def wake_outdated(self, most: int) -> None:
        """Decide about the first so many of those that wait for an update."""
        for key in nsmallest(most, self.outdated, key=lambda key: (key, "") if isinstance(key, int) else (0, key)):
            self.wake(key)

    def wait(self, key: Key, task: Task) -> None:
        """An update is to replace the slot's only task, but not yet."""
        self.rest(key, task.node_id)
        self.outdated[key] = task.revision

    def rest(self, key: Key, home: str) -> None:
        """A decision about the slot had no effect."""
        if key in self.loud:
            self.loud.remove(key)
            self.quiet[key] = home
            if home:
                self.homes[home] = self.homes.get(home, 0) + 1

    def size(self) -> int:
        """How many tasks there are."""
        return sum(map(len, self.tasks.values()))

    def loud_slots(self) -> list[tuple[Key, tuple[Task, ...]]]:
        """Those to decide about, numbers before nodes, each in order."""
        numbers = sorted(key for key in self.loud if isinstance(key, int))
        nodes = sorted(key for key in self.loud if isinstance(key, str))
        order: list[Key] = [*numbers, *nodes]
        return [(key, self.tasks[key]) for key in order]


@dataclass(frozen=True)
class Portion:
    """Some tasks of a service, compared with the view.

    Attributes:
        suspects: ids of those that are not known as the view has them.
        told: how many of them have a status.
    """

    suspects: Sequence[str]
    told: int


class Rolls:
    """The rolls of all services that have tasks."""

    def __init__(self) -> None:
        self._rolls: dict[str, Roll] = {}

    @staticmethod
    def of(view: View, services: Iterable[str]) -> "Rolls":
        """The rolls of a whole view, every slot loud."""
        rolls = Rolls()
        for service_id in services:
            rolls.read(view, service_id)
        return rolls

    def read(self, view: View, service_id: str) -> None:
        """Take over all tasks of a service as the view has them, every slot loud."""
        slots: dict[Key, tuple[Task, ...]] = {}
        for task in view.tasks_of(service_id).values():
            key = task.slot or task.node_id
            slots[key] = (*slots[key], task) if key in slots else (task,)
        if slots:
            roll = self._rolls[service_id] = Roll()
            roll.tasks, roll.loud = slots, set(slots)
        else:
            self._rolls.pop(service_id, None)

    def roll(self, service_id: str) -> Roll:
        """That of one service; an empty one that is not kept when it has no tasks."""
        found = self._rolls.get(service_id)
        return found if found is not None else Roll()

    def put(self, identifier: str, old: Task | None, new: Task | None) -> None:
        """A task's record has changed."""
        task = new if new is not None else old
        if task is None:
            return
        roll = self._rolls.get(task.service_id)
        if roll is None:
            roll = self._rolls[task.service_id] = Roll()
        roll.put(identifier, key_of(task), new)
        if not roll.tasks:
            del self._rolls[task.service_id]

    def wake(self, task: Task) -> None:
        """Something that the decision about the task's slot rests on has changed."""
        self.roll(task.service_id).wake(key_of(task))

    def suspects(self, view: View) -> Iterator["Portion"]:
        """Looks for tasks that are not known as the view has them, with pauses in which the view may change."""
        for service_id in list(view.services_with_tasks()):
            identifiers, tasks = list(view.tasks_of(service_id)), list(view.tasks_of(service_id).values())
            for first in range(0, len(identifiers), _PORTION):
                portion = slice(first, first + _PORTION)
                yield self._look(view, service_id, identifiers[portion], tasks[portion])

    def correct(self, view: View, suspects: Iterable[str]) -> int:
        """Take over what differs from the view; how many tasks that were. None, unless a change was lost."""
        found = 0
        for identifier in suspects:
            task = view.tasks.get(identifier)
            if task is not None and self._sift(view, task.service_id, [identifier]):
                self.put(identifier, None, task)
                found += 1
        for service_id in [*self._rolls]:
            surplus = self.roll(service_id).size() - len(view.tasks_of(service_id))
            if surplus:
                self.read(view, service_id)
                found += abs(surplus)
        return found

    def _look(self, view: View, service_id: str, identifiers: Sequence[str], tasks: Sequence[Task]) -> "Portion":
        """Tasks that have changed in a pause are not found where they are looked for; then the view is asked."""
        if self._knows_all(view, service_id, identifiers, tasks):
            return Portion((), len(identifiers))
        told = sum(identifier in view.task_status for identifier in identifiers)
        return Portion(self._sift(view, service_id, identifiers), told)

    def _knows_all(self, view: View, service_id: str, identifiers: Sequence[str], tasks: Sequence[Task]) -> bool:
        """Whether each of the tasks is the only one of its slot, as known, and runs: so most of them are.

        Without a line of Python for each task, since a million of them are compared every minute.
        """
        keys: Iterable[Key] = [*map(_SLOT, tasks)]
        if 0 in keys:
            keys = [*map(key_of, tasks)]
        known = map(self.roll(service_id).tasks.get, keys)
        states = map(_STATE, map(view.task_status.get, identifiers, repeat(_UNTOLD)))
        return all(map(eq, zip(tasks, strict=True), known)) and all(map(eq, states, repeat(_RUNNING)))

    def _sift(self, view: View, service_id: str, identifiers: Iterable[str]) -> list[str]:
        tasks, status_of = view.tasks_of(service_id), view.task_status.get
        roll = self.roll(service_id)
        known_in, home_of, found = roll.tasks.get, roll.quiet.get, []
        for identifier in identifiers:
            task = tasks.get(identifier)
            if task is None:
                continue
            key = task.slot or task.node_id
            known = known_in(key, ())
            if not any(other is task for other in known) if len(known) != 1 else known[0] is not task:
                found.append(identifier)
            elif len(known) == 1 and home_of(key):
                status = status_of(identifier)
                if status is None or status.state != _RUNNING:
                    found.append(identifier)
        return found
