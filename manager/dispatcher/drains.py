"""Tasks that are to stop, until no node leads clients to them any more.

A task is noted when the catalogue has withdrawn it, with the number of that step (its generation). A node is clear of
it once it has applied a message that was made after that step. Nothing of it is stored: a manager that begins anew
finds the tasks that are to stop in the catalogue, and every node's first message is made after that.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass


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


class Drains:
    """The tasks that wait, by id."""

    def __init__(self) -> None:
        self._waiting: dict[str, Withdrawal] = {}

    @property
    def waiting(self) -> Mapping[str, Withdrawal]:
        return self._waiting

    def follow(self, stopping: Collection[str], note: Callable[[str], Withdrawal]) -> None:
        """Note tasks that are new among those that are to stop, and forget those that are not there any more."""
        for task_id in [task_id for task_id in self._waiting if task_id not in stopping]:
            del self._waiting[task_id]
        for task_id in stopping:
            if task_id not in self._waiting:
                self._waiting[task_id] = note(task_id)

    def take_clear(self, is_clear: Callable[[str, Withdrawal], bool]) -> list[str]:
        """The tasks that no node leads to any more; they are waited for no longer.

        Args:
            is_clear: whether a node, by its id, has applied a withdrawal.
        """
        clear = [
            task_id for task_id, each in self._waiting.items() if all(is_clear(node_id, each) for node_id in each.nodes)
        ]
        for task_id in clear:
            del self._waiting[task_id]
        return clear


def applied_through(waiting: Iterable[Withdrawal], is_clear: Callable[[int], bool], newest: int) -> int:
    """The revision up to which everything withdrawn is out of a manager's own nodes.

    Args:
        is_clear: whether all of them are clear of what was withdrawn at a generation.
        newest: revision of the newest withdrawal, for when all are clear of everything.
    """
    unclear = [each.revision for each in waiting if not is_clear(each.generation)]
    return min(unclear) - 1 if unclear else newest
