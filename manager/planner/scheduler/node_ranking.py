"""Nodes by load, sorted once a pass and kept sorted while the plan claims resources."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set

from manager.planner.draft import Draft
from manager.planner.index.resource_index import NodeUsage
from manager.planner.scheduler.node_filters import ineligible
from manager.planner.spec.requirements import Requirements

_Rank = tuple[float, int, str]

_MIN_BULK, _BULK_FRACTION = 8, 256
"""Up to so many changed nodes, or that part of all, are moved one by one."""


def ranked_nodes(draft: Draft, demand: Requirements) -> Sequence[NodeUsage]:
    """Nodes that are eligible for the demand, the least loaded first. Demands that require the same share one sort.

    The list does not change until the next call.
    """

    def make() -> NodeRanking:
        fit = [host for host in draft.resources.hosts.values() if ineligible(host, demand) is None]
        return NodeRanking(fit, draft.resources.claimed)

    kernel = demand.encrypted, demand.ipv6
    key = "node ranking", demand.constraints, demand.platforms, kernel, demand.devices, demand.runtime
    ranking: NodeRanking = draft.cached(key, make)
    return ranking.hosts()


class NodeRanking:
    """Nodes, the least loaded first (`NodeUsage.rank`).

    Args:
        hosts: in any order.
        claimed: grows by the node of each claim.
    """

    def __init__(self, hosts: Iterable[NodeUsage], claimed: Sequence[NodeUsage]) -> None:
        self._rank_of = {host: host.rank() for host in hosts}
        self._claimed = claimed
        self._seen = len(claimed)
        self._hosts = sorted(self._rank_of, key=self._rank_of.__getitem__)
        self._ranks = [self._rank_of[host] for host in self._hosts]

    def hosts(self) -> Sequence[NodeUsage]:
        """The nodes by their load now. The list does not change until the next call, whatever is claimed meanwhile."""
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
        """Merge them in. Most come from the beginning and go to one place, so a few long pieces are joined."""
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
