"""Tasks that are stopping, until every node has withdrawn their endpoints. Pure.

A task is noted when the catalogue has withdrawn it, with the number of that step (its generation). A node is clear of
it once it has applied a message that was made after that step, and stays so: what it keeps over a restart says the
same. Nothing of it is stored: a manager that begins anew finds the tasks that are to stop in the catalogue, and every
node's first message is made after that.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum


class RouteState(Enum):
    """Whether a node may still lead clients to a task."""

    POSSIBLE = "maybe"
    NODE_AWAY = "not now"
    """It is away, and would be asked again if it came back."""
    WITHDRAWN = "never"
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


RouteLookup = Callable[[str, Withdrawal], RouteState]
"""Whether a node, by its id, may lead clients to a task that was withdrawn so."""


class PendingWithdrawals:
    """The tasks that wait, by id. A node's answer costs the tasks that wait for it, and no look at the others."""

    def __init__(self) -> None:
        self._waiting: dict[str, Withdrawal] = {}
        self._pending_nodes: dict[str, set[str]] = {}
        self._tasks_by_node: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def waiting(self) -> Mapping[str, Withdrawal]:
        return self._waiting

    def update(self, stopping: Set[str], make_withdrawal: Callable[[str], Withdrawal]) -> list[str]:
        """Note tasks that are new among those that are to stop, and forget those that are not there any more.

        Returns the new ones.
        """
        for task_id in self._waiting.keys() - stopping:
            self._forget(task_id)
        new = list(stopping - self._waiting.keys())
        for task_id in new:
            self._waiting[task_id] = withdrawal = make_withdrawal(task_id)
            self._pending_nodes[task_id] = set(withdrawal.nodes)
            for node_id in withdrawal.nodes:
                self._tasks_by_node[node_id].add(task_id)
        return new

    def waiting_for(self, node_id: str) -> list[str]:
        """The tasks that wait for a node."""
        return list(self._tasks_by_node.get(node_id, ()))

    def pop_withdrawn(self, among: Iterable[str], lookup: RouteLookup) -> list[str]:
        """Of these tasks, those that no node leads to; they are waited for no longer."""
        withdrawn = [task_id for task_id in among if self._is_withdrawn(task_id, lookup)]
        for task_id in withdrawn:
            self._forget(task_id)
        return withdrawn

    def node_applied(self, node_id: str, lookup: RouteLookup) -> list[str]:
        """A node has applied something; the tasks that no node leads to now, which are waited for no longer."""
        withdrawn = [
            each for each in self.waiting_for(node_id) if lookup(node_id, self._waiting[each]) is RouteState.WITHDRAWN
        ]
        for task_id in withdrawn:
            self._drop_node(task_id, node_id)
        return self.pop_withdrawn(withdrawn, lookup)

    def _is_withdrawn(self, task_id: str, lookup: RouteLookup) -> bool:
        withdrawal = self._waiting[task_id]
        for node_id in list(self._pending_nodes[task_id]):
            answer = lookup(node_id, withdrawal)
            if answer is RouteState.POSSIBLE:
                return False
            if answer is RouteState.WITHDRAWN:
                self._drop_node(task_id, node_id)
        return True

    def _drop_node(self, task_id: str, node_id: str) -> None:
        self._pending_nodes[task_id].discard(node_id)
        self._tasks_by_node[node_id].discard(task_id)
        if not self._tasks_by_node[node_id]:
            del self._tasks_by_node[node_id]

    def _forget(self, task_id: str) -> None:
        for node_id in list(self._pending_nodes.pop(task_id)):
            self._tasks_by_node[node_id].discard(task_id)
            if not self._tasks_by_node[node_id]:
                del self._tasks_by_node[node_id]
        del self._waiting[task_id]


def applied_through(waiting: Iterable[Withdrawal], unapplied: int | None, newest: int) -> int:
    """The revision up to which everything withdrawn is out of a manager's own nodes.

    Args:
        unapplied: the first generation that one of them may not have applied; None when all have applied all.
        newest: revision of the newest withdrawal, for when all are clear of everything.
    """
    unclear = [each.revision for each in _unapplied(waiting, unapplied)]
    return min(unclear) - 1 if unclear else newest


def _unapplied(waiting: Iterable[Withdrawal], unapplied: int | None) -> Iterator[Withdrawal]:
    return (each for each in waiting if unapplied is not None and unapplied <= each.generation)
