"""Tasks that are to stop, until no node leads clients to them any more. Pure.

A task is noted when the catalogue has withdrawn it, with the number of that step (its generation). A node is clear of
it once it has applied a message that was made after that step, and stays so: what it keeps over a restart says the
same. Nothing of it is stored: a manager that begins anew finds the tasks that are to stop in the catalogue, and every
node's first message is made after that.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum


class Leads(Enum):
    """Whether a node may still lead clients to a task."""

    MAYBE = "maybe"
    NOT_NOW = "not now"
    """It is away, and would be asked again if it came back."""
    NEVER = "never"
    """It has applied the withdrawal."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """When a task was withdrawn, and which nodes may lead clients to it.

    Attributes:
        generation: number of the catalogue's step.
        revision: at which the store learned that the task is to stop, or a later one.
    """

    generation: int
    revision: int
    nodes: frozenset[str]


Ask = Callable[[str, Withdrawal], Leads]
"""Whether a node, by its id, may lead clients to a task that was withdrawn so."""


class Drains:
    """The tasks that wait, by id. A node's answer costs the tasks that wait for it, and no look at the others."""

    def __init__(self) -> None:
        self._waiting: dict[str, Withdrawal] = {}
        self._unclear: dict[str, set[str]] = {}
        self._of_node: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def waiting(self) -> Mapping[str, Withdrawal]:
        return self._waiting

    def follow(self, stopping: Set[str], note: Callable[[str], Withdrawal]) -> list[str]:
        """Note tasks that are new among those that are to stop, and forget those that are not there any more.

        Returns the new ones.
        """
        for task_id in self._waiting.keys() - stopping:
            self._forget(task_id)
        new = list(stopping - self._waiting.keys())
        for task_id in new:
            self._waiting[task_id] = withdrawal = note(task_id)
            self._unclear[task_id] = set(withdrawal.nodes)
            for node_id in withdrawal.nodes:
                self._of_node[node_id].add(task_id)
        return new

    def of_node(self, node_id: str) -> list[str]:
        """The tasks that wait for a node."""
        return list(self._of_node.get(node_id, ()))

    def take_clear(self, among: Iterable[str], ask: Ask) -> list[str]:
        """Of these tasks, those that no node leads to; they are waited for no longer."""
        clear = [task_id for task_id in among if self._is_clear(task_id, ask)]
        for task_id in clear:
            self._forget(task_id)
        return clear

    def note_clear(self, node_id: str, ask: Ask) -> list[str]:
        """A node has applied something; the tasks that no node leads to now, which are waited for no longer."""
        cleared = [each for each in self.of_node(node_id) if ask(node_id, self._waiting[each]) is Leads.NEVER]
        for task_id in cleared:
            self._clear(task_id, node_id)
        return self.take_clear(cleared, ask)

    def _is_clear(self, task_id: str, ask: Ask) -> bool:
        withdrawal = self._waiting[task_id]
        for node_id in list(self._unclear[task_id]):
            answer = ask(node_id, withdrawal)
            if answer is Leads.MAYBE:
                return False
            if answer is Leads.NEVER:
                self._clear(task_id, node_id)
        return True

    def _clear(self, task_id: str, node_id: str) -> None:
        self._unclear[task_id].discard(node_id)
        self._of_node[node_id].discard(task_id)
        if not self._of_node[node_id]:
            del self._of_node[node_id]

    def _forget(self, task_id: str) -> None:
        for node_id in list(self._unclear.pop(task_id)):
            self._of_node[node_id].discard(task_id)
            if not self._of_node[node_id]:
                del self._of_node[node_id]
        del self._waiting[task_id]


def applied_through(waiting: Iterable[Withdrawal], unapplied: int | None, newest: int) -> int:
    """The revision up to which everything withdrawn is out of a manager's own nodes.

    Args:
        unapplied: the first generation that one of them may not have applied; None when all have applied all.
        newest: revision of the newest withdrawal, for when all are clear of everything.
    """
    unclear = [each.revision for each in _unclear(waiting, unapplied)]
    return min(unclear) - 1 if unclear else newest


def _unclear(waiting: Iterable[Withdrawal], unapplied: int | None) -> Iterator[Withdrawal]:
    return (each for each in waiting if unapplied is not None and unapplied <= each.generation)
