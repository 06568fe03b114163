"""Which records a node has to be told anew: what a change leaves to be said, until a message has said it.

A mark names a record and not its content, so that any number of changes of one record while a message is on its way
are one mark, and what is sent is always the newest.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

Topic = Literal["task", "revision", "network", "endpoint", "peer", "service", "volume", "attachment"]
"""A kind of record of `Assignments`; "volume": one whose data is to be deleted; "attachment": one of a driver."""

Mark = tuple[Topic, str]
"""A record by its kind, and its key in `Assignments`."""


class Marks:
    """The marks of one step, by node."""

    def __init__(self) -> None:
        self._by_node: defaultdict[str, set[Mark]] = defaultdict(set)

    def add(self, nodes: Iterable[str], *marks: Mark) -> None:
        """Each of these nodes is to be told of each of these records."""
        for node_id in nodes:
            self._by_node[node_id].update(marks)

    def add_all(self, nodes: Iterable[str], marks: Iterable[Mark]) -> None:
        """The same of many records, which are looked at only if somebody is to be told."""
        self.add(nodes, *marks)

    def by_node(self) -> dict[str, set[Mark]]:
        """What was added; a task without a node concerns none."""
        return {node_id: marks for node_id, marks in self._by_node.items() if node_id and marks}


class NoMarks(Marks):
    """Nobody is to be told."""

    def add(self, nodes: Iterable[str], *marks: Mark) -> None:
        """Nothing is kept."""

    def add_all(self, nodes: Iterable[str], marks: Iterable[Mark]) -> None:
        """Nothing is looked at."""
