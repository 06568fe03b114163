"""Nodes in the order of their load, sorted once a pass and kept up while a plan claims on them."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from manager.planner.ledger import Host

_Rank = tuple[float, int, str]

_FEW = 16
"""When less than that part of the nodes has changed, they are moved one by one."""


class Ranking:
    """Nodes, the least loaded first (`Host.rank`).

    Args:
        hosts: in any order.
        touched: grows by each node that something is claimed on.
    """

    def __init__(self, hosts: Iterable[Host], touched: Sequence[Host]) -> None:
        self._hosts: list[Host] = []
        self._ranks: list[_Rank] = []
        self._rank_of = {host: host.rank() for host in hosts}
        self._touched = touched
        self._seen = len(touched)
        self._sort()

    def hosts(self) -> Sequence[Host]:
        """As they stand now. The list stays as it is until this is called again, whatever is claimed meanwhile."""
        if self._seen < len(self._touched):
            changed = self._rank_of.keys() & set(self._touched[self._seen :])
            self._seen = len(self._touched)
            if len(changed) > len(self._hosts) // _FEW:
                self._rank_of.update((host, host.rank()) for host in changed)
                self._sort()
            else:
                for host in changed:
                    self._move(host)
        return self._hosts

    def _sort(self) -> None:
        self._hosts = sorted(self._rank_of, key=self._rank_of.__getitem__)
        self._ranks = [self._rank_of[host] for host in self._hosts]

    def _move(self, host: Host) -> None:
        at = bisect_left(self._ranks, self._rank_of[host])
        del self._ranks[at], self._hosts[at]
        rank = self._rank_of[host] = host.rank()
        at = bisect_left(self._ranks, rank)
        self._ranks.insert(at, rank)
        self._hosts.insert(at, host)
