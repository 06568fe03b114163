"""Which records changed for a node and have not been sent to it yet.

A mark names a record and not its content, so that any number of changes of one record while a message is on its way
are one mark, and what is sent is always the newest.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

RecordKind = Literal["task", "revision", "network", "endpoint", "peer", "service", "volume", "attachment"]
"""A kind of record of `Assignments`; "volume": one whose data is to be deleted; "attachment": one of a driver."""

RecordRef = tuple[RecordKind, str]
"""A record by its kind, and its key in `Assignments`."""


class DirtyRecords:
    """The records that one step changed, by node."""

    def __init__(self) -> None:
        self._by_node: defaultdict[str, set[RecordRef]] = defaultdict(set)

    def add(self, nodes: Iterable[str], *records: RecordRef) -> None:
        """Each of these nodes is to be told of each of these records."""
        for node_id in nodes:
            self._by_node[node_id].update(records)

    def add_all(self, nodes: Iterable[str], records: Iterable[RecordRef]) -> None:
        """The same of many records, which are looked at only if somebody is to be told."""
        self.add(nodes, *records)

    def by_node(self) -> dict[str, set[RecordRef]]:
        """What was added; a task without a node concerns none."""
        return {node_id: marks for node_id, marks in self._by_node.items() if node_id and marks}


class NoDirtyRecords(DirtyRecords):
    """Collects nothing."""

    def add(self, nodes: Iterable[str], *records: RecordRef) -> None:
        """Nothing is kept."""

    def add_all(self, nodes: Iterable[str], records: Iterable[RecordRef]) -> None:
        """Nothing is looked at."""
