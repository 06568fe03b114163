"""The order of nodes for a batch of like tasks.

Among nodes that fit: those where the service does not keep failing, fewest tasks of the service, then `NodeUsage.rank`
(least reserved share, fewest tasks, id). With spread preferences, nodes with the same values of all keys are a domain,
and a task goes to the domain whose values have the fewest tasks of the service, the first key before the second.
Weighted preferences and soft affinities add up to the cost of a domain, and the cheapest domain comes first. With a
binpack preference nodes are filled one after the other instead. A soft affinity to the service itself costs its weight
where the service has no task yet.

Nodes are used in rounds, one task each, so a task costs its share of one sort and never the cluster's size.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count

from manager.planner.index.resource_index import NodeUsage
from manager.planner.scheduler.affinity import Cost
from manager.planner.scheduler.node_filters import Reason, fit_test
from manager.planner.spec.constraints import node_attribute
from manager.planner.spec.requirements import Requirements

Counts = dict[str, int]
"""The service's tasks by node, counted as nodes are chosen."""

Rejects = Callable[[NodeUsage], Reason | None]
"""Why a node is excluded though a task would fit; it stays so within a batch."""

_Used = dict[tuple[str, ...], int]
"""The service's tasks by the values of keys."""


def reject_none(host: NodeUsage) -> None:
    """Rejects no node."""


def node_order(
    hosts: Sequence[NodeUsage],
    demand: Requirements,
    counts: Counts,
    failing: Collection[str] = (),
    cost: Cost | None = None,
    rejects: Rejects = reject_none,
) -> Iterator[NodeUsage]:
    """The node for each next task, until none fits. The caller claims on a node before asking for the next one.

    Args:
        hosts: eligible nodes, by rank.
        cost: of a node besides preferences, in the unit of weights.
        rejects: asked of a node before each task.
    """
    batch = _Batch(demand, counts, failing, rejects, fit_test(demand))
    if demand.spread or demand.weighted_spread or demand.binpack or demand.soft_self_affinity or cost is not None:
        return _across_domains(hosts, batch, cost)
    return iter(_SpreadOrder(hosts, batch))


@dataclass(frozen=True)
class _Batch:
    """What is the same for all nodes while a batch of tasks is placed.

    Attributes:
        fits: whether one more task fits on a node that has so many of the service.
    """

    demand: Requirements
    counts: Counts
    failing: Collection[str]
    rejects: Rejects
    fits: Callable[[NodeUsage, int], bool]

    def admits(self, host: NodeUsage) -> bool:
        """Whether one more task may go there."""
        return self.fits(host, self.counts.get(host.id, 0)) and self.rejects(host) is None


class _SpreadOrder:
    """Nodes in turns: those with the fewest tasks of the service once each, then those with one more."""

    def __init__(self, hosts: Sequence[NodeUsage], batch: _Batch) -> None:
        self._batch = batch
        self._order = self._phases(hosts, batch.failing)

    def __iter__(self) -> Iterator[NodeUsage]:
        return self._order

    def fullness(self) -> float:
        """Does not apply here."""
        return 0.0

    def _phases(self, hosts: Sequence[NodeUsage], failing: Collection[str]) -> Iterator[NodeUsage]:
        if failing:
            yield from self._levels([host for host in hosts if host.id not in failing])
            hosts = [host for host in hosts if host.id in failing]
        yield from self._levels(hosts)

    def _levels(self, hosts: Sequence[NodeUsage]) -> Iterator[NodeUsage]:
        fits, counts, rejects = self._batch.fits, self._batch.counts, self._batch.rejects
        has_rejects = rejects is not reject_none
        waiting: dict[int, list[NodeUsage]] = {}
        first: list[NodeUsage] = []
        for host in hosts:  # no further than needed: a small service must not cost the cluster's size
            if (level := counts.get(host.id, 0)) > 0:
                waiting.setdefault(level, []).append(host)
            elif (not has_rejects or rejects(host) is None) and fits(host, 0):
                counts[host.id] = 1
                first.append(host)
                yield host
        if first:
            waiting[1] = sorted(first + waiting.get(1, []), key=NodeUsage.rank)
        while waiting:
            level = min(waiting)
            used = []
            for host in waiting.pop(level):
                if has_rejects and rejects(host) is not None:
                    continue
                if fits(host, level):  # else never again: nothing is released within a batch
                    counts[host.id] = level + 1
                    used.append(host)
                    yield host
            if used:
                waiting[level + 1] = sorted(used + waiting.get(level + 1, []), key=NodeUsage.rank)


class _BinpackOrder:
    """Nodes filled one after the other, the fullest first."""

    def __init__(self, hosts: Sequence[NodeUsage], batch: _Batch) -> None:
        self._batch = batch
        order = sorted(hosts, key=lambda host: (host.id in batch.failing, -self._weight(host), host.id))
        self._left = order[::-1]

    def __iter__(self) -> Iterator[NodeUsage]:
        counts = self._batch.counts
        while self._left:
            host = self._left[-1]
            if self._batch.admits(host):
                counts[host.id] = counts.get(host.id, 0) + 1
                yield host
            else:
                self._left.pop()

    def fullness(self) -> float:
        """The fullness of the node that is being filled, times the weights."""
        return self._weight(self._left[-1]) if self._left else 0.0

    def _weight(self, host: NodeUsage) -> float:
        return sum(weight * host.fullness(what) for what, weight in self._batch.demand.binpack)


_Values = tuple[str, ...]


class _Domain:
    """Nodes with the same values of all keys of preferences, and the same cost."""

    def __init__(
        self, weighted: _Values, ordered: _Values, soft_affinity: _Values, cost: int, demand: Requirements
    ) -> None:
        self.hosts: list[NodeUsage] = []
        self.order: Iterator[NodeUsage] = iter(())
        self._cost = cost
        self._weighted = [((str(at), value), demand.weighted_spread[at][1]) for at, value in enumerate(weighted)]
        self._ordered = [("", *ordered[: length + 1]) for length in range(len(ordered))]
        self._soft_affinity = [
            ((f"near {at}", value), demand.soft_self_affinity[at][1]) for at, value in enumerate(soft_affinity)
        ]
        self.soft_affinity_keys: list[_Values] = [key for key, _ in self._soft_affinity]
        self.keys: list[_Values] = [*(key for key, _ in self._weighted), *self._ordered, *self.soft_affinity_keys]
        self.nodes: _SpreadOrder | _BinpackOrder | None = None

    def open(self, batch: _Batch) -> None:
        """All nodes have been added."""
        self.nodes = (_BinpackOrder if batch.demand.binpack else _SpreadOrder)(self.hosts, batch)
        self.order = iter(self.nodes)

    def rank(self, used: _Used) -> tuple[float, tuple[tuple[int, str], ...]]:
        """The least comes first. Only a task in the domain, or in one with the same value of a soft affinity to the
        service, decreases it."""
        total: float = self._cost + sum(weight * used[key] for key, weight in self._weighted)
        total += sum(weight for key, weight in self._soft_affinity if not used[key])
        total -= self.nodes.fullness() if self.nodes is not None else 0.0
        return total, tuple((used[key], key[-1]) for key in (*self._ordered, *(key for key, _ in self._weighted)))


def _across_domains(hosts: Sequence[NodeUsage], batch: _Batch, cost: Cost | None) -> Iterator[NodeUsage]:
    used: _Used = {}
    domains = _domains(hosts, batch, cost, used)
    with_value: dict[_Values, list[_Domain]] = {}
    for domain in domains:
        domain.open(batch)
        for key in domain.soft_affinity_keys:
            with_value.setdefault(key, []).append(domain)
    serial = count()
    heap = [(domain.rank(used), next(serial), domain) for domain in domains]
    heapify(heap)
    while heap:
        rank, number, domain = heap[0]
        now = domain.rank(used)
        if now != rank:  # other ranks only increase, so that of the best is current
            heapreplace(heap, (now, number, domain))
            continue
        host = next(domain.order, None)
        if host is None:
            heappop(heap)
            continue
        cheaper = [other for key in domain.soft_affinity_keys if not used[key] for other in with_value[key]]
        for key in domain.keys:
            used[key] += 1
        for other in cheaper:  # once for each value
            heappush(heap, (other.rank(used), next(serial), other))
        yield host


def _domains(hosts: Sequence[NodeUsage], batch: _Batch, cost: Cost | None, used: _Used) -> list[_Domain]:
    demand = batch.demand
    domains: dict[tuple[_Values, _Values, _Values, int], _Domain] = {}
    weighted, soft_affinity = (
        tuple(key for key, _ in demand.weighted_spread),
        tuple(key for key, _ in demand.soft_self_affinity),
    )
    for host in hosts:
        price = cost(host) if cost is not None else 0
        found = (
            topology_values(host, weighted),
            topology_values(host, demand.spread),
            topology_values(host, soft_affinity),
            price,
        )
        domain = domains.get(found) or domains.setdefault(found, _Domain(*found, demand))
        domain.hosts.append(host)
        for key in domain.keys:
            used[key] = used.get(key, 0) + batch.counts.get(host.id, 0)
    return list(domains.values())


def topology_values(host: NodeUsage, keys: Sequence[str]) -> tuple[str, ...]:
    """The node's values of these keys, empty where it has none."""
    if host.node is None or host.status is None:
        return ("",) * len(keys)
    node, status = host.node, host.status
    return tuple(node_attribute(key, node, status) or "" for key in keys)
