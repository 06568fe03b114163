"""Nodes in the order of their load, sorted once a pass and kept up while a plan claims on them."""

from collections.abc import Iterable, Sequence

from manager.planner.ledger import Host

_Entry = tuple[float, int, str, Host]


class Ranking:
    """Nodes, the least loaded first (`Host.rank`).

    Args:
        hosts: in any order.
        touched: grows by each node that something is claimed on.
    """

    def __init__(self, hosts: Iterable[Host], touched: Sequence[Host]) -> None:
        self._entries: list[_Entry] = sorted((*host.rank(), host) for host in hosts)
        self._members = {entry[3] for entry in self._entries}
        self._touched = touched
        self._seen = len(touched)

    def hosts(self) -> list[Host]:
        """As they stand now. Claiming on one of them leaves the list as it is."""
        if self._seen < len(self._touched):
            changed = self._members.intersection(self._touched[self._seen :])
            self._seen = len(self._touched)
            # What stays is sorted already, and sorting such a list anew costs next to nothing.
            self._entries = [entry for entry in self._entries if entry[3] not in changed]
            self._entries += sorted((*host.rank(), host) for host in changed)
            self._entries.sort()
        return [entry[3] for entry in self._entries]
