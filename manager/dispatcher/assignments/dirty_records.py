"""Which records changed for a node and have not been sent to it yet.

A reference names a record and not its content, so that any number of changes of one record while a message is in flight
are one reference, and what is sent is always the newest.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

RecordKind = Literal["task", "revision", "network", "endpoint", "peer", "service", "volume", "attachment", "container"]
"""A kind of record of `Assignments`; "volume": one whose data is to be deleted; "attachment": a CSI volume;
"container": one that is kept on the node."""

RecordRef = tuple[RecordKind, str]
"""A record by its kind, and its key in `Assignments`."""


class DirtyRecords:
    """The records that one update changed, by node."""

    def __init__(self) -> None:
        self._by_node: defaultdict[str, set[RecordRef]] = defaultdict(set)

    def add(self, nodes: Iterable[str], *records: RecordRef) -> None:
        """Mark each of these records for each of these nodes."""
        for node_id in nodes:
            self._by_node[node_id].update(records)

    def add_all(self, nodes: Iterable[str], records: Iterable[RecordRef]) -> None:
        """The same for many records, which are computed only if needed."""
        self.add(nodes, *records)

    def by_node(self) -> dict[str, set[RecordRef]]:
        """What was added; the empty node id of unassigned tasks is left out."""
        return {node_id: records for node_id, records in self._by_node.items() if node_id and records}


class NoDirtyRecords(DirtyRecords):
    """Collects nothing."""

    def add(self, nodes: Iterable[str], *records: RecordRef) -> None:
        """Ignored."""

    def add_all(self, nodes: Iterable[str], records: Iterable[RecordRef]) -> None:
        """Ignored; the records are not computed."""
