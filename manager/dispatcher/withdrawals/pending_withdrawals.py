"""Tasks that are stopping, until every node has withdrawn their endpoints. Pure.

A task is recorded when the assignment index has withdrawn it, with the generation of that update. A node has withdrawn
the endpoint once it has applied a message that was made after that generation, and it stays so: what it keeps over a
restart says the same. Nothing is stored: a manager that restarts finds the stopping tasks in its index, and every
node's first message is made after that.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum


class RouteState(Enum):
    """Whether a node may still route clients to a task."""

    POSSIBLE = "maybe"
    NODE_AWAY = "not now"
    """It is not connected, and is checked again if it reconnects."""
    WITHDRAWN = "never"
    """It has applied the withdrawal, and never routes to the task again."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """When a task was withdrawn, and which nodes may route clients to it.

    Attributes:
        generation: of the assignment index.
        revision: of the store, at which the task was stopped, or a later one.
    """

    generation: int
    revision: int
    nodes: frozenset[str]


RouteLookup = Callable[[str, Withdrawal], RouteState]
"""Whether a node, by its id, may route clients to a task with this withdrawal."""


class PendingWithdrawals:
    """The waiting tasks, by id. The cost of a node's progress depends only on the tasks that wait for that node."""

    def __init__(self) -> None:
        self._waiting: dict[str, Withdrawal] = {}
        self._pending_nodes: dict[str, set[str]] = {}
        self._tasks_by_node: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def waiting(self) -> Mapping[str, Withdrawal]:
        return self._waiting

    def update(self, stopping: Set[str], make_withdrawal: Callable[[str], Withdrawal]) -> list[str]:
        """Add the tasks that are new among the stopping ones, and drop those that are no longer among them.

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
        """Remove and return those of these tasks that no node routes to."""
        withdrawn = [task_id for task_id in among if self._is_withdrawn(task_id, lookup)]
        for task_id in withdrawn:
            self._forget(task_id)
        return withdrawn

    def node_applied(self, node_id: str, lookup: RouteLookup) -> list[str]:
        """A node has applied a message; removes and returns the tasks that no node routes to now."""
        withdrawn = [
            each for each in self.waiting_for(node_id) if lookup(node_id, self._waiting[each]) is RouteState.WITHDRAWN
        ]
        for task_id in withdrawn:
            self._drop_node(task_id, node_id)
        return self.pop_withdrawn(withdrawn, lookup)

    def _is_withdrawn(self, task_id: str, lookup: RouteLookup) -> bool:
        withdrawal = self._waiting[task_id]
        for node_id in list(self._pending_nodes[task_id]):
            state = lookup(node_id, withdrawal)
            if state is RouteState.POSSIBLE:
                return False
            if state is RouteState.WITHDRAWN:
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
    """The revision up to which a manager's own nodes have applied all withdrawals.

    Args:
        unapplied: the first generation that one of them may not have applied; None if all have applied all.
        newest: revision of the newest withdrawal, the result if all are applied.
    """
    revisions = [each.revision for each in _unapplied(waiting, unapplied)]
    return min(revisions) - 1 if revisions else newest


def _unapplied(waiting: Iterable[Withdrawal], unapplied: int | None) -> Iterator[Withdrawal]:
    return (each for each in waiting if unapplied is not None and unapplied <= each.generation)
