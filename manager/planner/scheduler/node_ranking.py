"""Nodes by load, sorted once a pass and kept sorted while the plan claims resources."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set

from manager.planner.draft import Draft
from manager.planner.index.resource_index import NodeUsage
from manager.planner.scheduler.node_filters import ineligible
from manager.planner.spec.requirements import Requirements

_Rank = tuple[float, int, str]

_MIN_BULK, _BULK_FRACTION = 8, 256
"""When no more than so many nodes have changed, or that part of them, they are moved one by one."""


def ranked_nodes(draft: Draft, demand: Requirements) -> Sequence[NodeUsage]:
    """Nodes that are eligible for the demand, the least loaded first. Demands that ask the same of nodes share one sort.

    The list stays as it is until it is asked for again.
    """

    def make() -> NodeRanking:
        fit = [host for host in draft.resources.hosts.values() if ineligible(host, demand) is None]
        return NodeRanking(fit, draft.resources.claimed)

    key = "node ranking", demand.constraints, demand.platforms, demand.encrypted, demand.ipv6, demand.devices
    ranking: NodeRanking = draft.cached(key, make)
    return ranking.hosts()


class NodeRanking:
    """Nodes, the least loaded first (`Host.rank`).

    Args:
        hosts: in any order.
        claimed: grows by each node that something is claimed on.
    """

    def __init__(self, hosts: Iterable[NodeUsage], claimed: Sequence[NodeUsage]) -> None:
        self._rank_of = {host: host.rank() for host in hosts}
        self._claimed = claimed
        self._seen = len(claimed)
        self._hosts = sorted(self._rank_of, key=self._rank_of.__getitem__)
        self._ranks = [self._rank_of[host] for host in self._hosts]

    def hosts(self) -> Sequence[NodeUsage]:
        """As they stand now. The list stays as it is until this is called again, whatever is claimed meanwhile."""
        if self._seen < len(self._claimed):
            changed = self._rank_of.keys() & set(self._claimed[self._seen :])
            self._seen = len(self._claimed)
            if len(changed) > max(_MIN_BULK, len(self._hosts) // _BULK_FRACTION):
                self._move_all(changed)
            else:
                for host in changed:
                    self._move(host)
        return self._hosts

    def _move_all(self, changed: Set[NodeUsage]) -> None:
        """Merge them in. They come from the beginning and most go to one place: a few long pieces are put together."""
        left, end = len(changed), 0
        while left:
            left -= self._hosts[end] in changed
            end += 1
        passed_over = [host for host in self._hosts[:end] if host not in changed]
        stay = passed_over + self._hosts[end:]
        ranks = [*map(self._rank_of.__getitem__, passed_over), *self._ranks[end:]]
        self._rank_of.update((host, host.rank()) for host in changed)
        moved = sorted(changed, key=self._rank_of.__getitem__)
        moved_ranks = [*map(self._rank_of.__getitem__, moved)]
        self._hosts, self._ranks = [], []
        at = moved_at = 0
        while moved_at < len(moved):
            until = bisect_left(ranks, moved_ranks[moved_at], at)
            self._append(stay, ranks, slice(at, until))
            at = until
            until = bisect_left(moved_ranks, ranks[at], moved_at) if at < len(ranks) else len(moved)
            self._append(moved, moved_ranks, slice(moved_at, until))
            moved_at = until
        self._append(stay, ranks, slice(at, None))

    def _append(self, hosts: list[NodeUsage], ranks: list[_Rank], piece: slice) -> None:
        self._hosts += hosts[piece]
        self._ranks += ranks[piece]

    def _move(self, host: NodeUsage) -> None:
        at = bisect_left(self._ranks, self._rank_of[host])
        del self._ranks[at], self._hosts[at]
        rank = self._rank_of[host] = host.rank()
        at = bisect_left(self._ranks, rank)
        self._ranks.insert(at, rank)
        self._hosts.insert(at, host)
