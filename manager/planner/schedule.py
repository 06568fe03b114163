"""The order in which a batch of like tasks goes to nodes.

Among nodes that fit: those that do not keep failing the service, fewest tasks of the service, then `Host.rank` (least
reserved share, fewest tasks, id). With spread preferences, nodes with the same values of all keys are one cell, and a
task goes to the cell whose values have the fewest tasks of the service, the first key before the second.

Nodes are taken in rounds, one task each, so a task costs its share of one sort and never the cluster's size.
"""

from collections.abc import Collection, Iterator, Sequence
from heapq import heapify, heappop, heapreplace

from manager.planner.constraints import fact
from manager.planner.demand import Demand
from manager.planner.filters import fitting
from manager.planner.ledger import Host

Counts = dict[str, int]
"""The service's tasks by node; whoever takes a node counts it."""


def places(hosts: Sequence[Host], demand: Demand, counts: Counts, failing: Collection[str] = ()) -> Iterator[Host]:
    """The node for each next task, until none fits. The caller claims on a node before asking for the next one.

    Args:
        hosts: those that have passed the standing filters, by rank.
    """
    if demand.spread:
        return _over_cells(hosts, demand, counts, failing)
    return _rounds(hosts, demand, counts, failing)


def _rounds(hosts: Sequence[Host], demand: Demand, counts: Counts, failing: Collection[str]) -> Iterator[Host]:
    if failing:
        yield from _levels([host for host in hosts if host.id not in failing], demand, counts)
        hosts = [host for host in hosts if host.id in failing]
    yield from _levels(hosts, demand, counts)


def _levels(hosts: Sequence[Host], demand: Demand, counts: Counts) -> Iterator[Host]:
    """Those with the fewest tasks of the service once each, then those with one more."""
    waiting: dict[int, list[Host]] = {}
    for host in hosts:
        waiting.setdefault(counts.get(host.id, 0), []).append(host)
    while waiting:
        level = min(waiting)
        taken = []
        for host in waiting.pop(level):
            if fitting(host, demand, level) is None:  # else never again: nothing comes free within a batch
                counts[host.id] = level + 1
                taken.append(host)
                yield host
        if taken:
            waiting[level + 1] = sorted(taken + waiting.get(level + 1, []), key=Host.rank)


class _Cell:
    """Nodes that have the same values of all preferences' keys."""

    def __init__(self, values: tuple[str, ...]) -> None:
        self.prefixes = tuple(values[: length + 1] for length in range(len(values)))
        self.hosts: list[Host] = []

    def key(self, used: dict[tuple[str, ...], int]) -> tuple[tuple[int, str], ...]:
        return tuple((used[prefix], prefix[-1]) for prefix in self.prefixes)


def _over_cells(hosts: Sequence[Host], demand: Demand, counts: Counts, failing: Collection[str]) -> Iterator[Host]:
    cells: dict[tuple[str, ...], _Cell] = {}
    used: dict[tuple[str, ...], int] = {}
    for host in hosts:
        values = _values(host, demand.spread)
        cell = cells.get(values) or cells.setdefault(values, _Cell(values))
        cell.hosts.append(host)
        for prefix in cell.prefixes:
            used[prefix] = used.get(prefix, 0) + counts.get(host.id, 0)
    heap = [(cell.key(used), _rounds(cell.hosts, demand, counts, failing), cell) for cell in cells.values()]
    heapify(heap)
    while heap:
        key, rest, cell = heap[0]
        now = cell.key(used)
        if now != key:  # cells only ever get worse, so the best one is known once its key is up to date
            heapreplace(heap, (now, rest, cell))
            continue
        place = next(rest, None)
        if place is None:
            heappop(heap)
            continue
        for prefix in cell.prefixes:
            used[prefix] += 1
        yield place


def _values(host: Host, keys: Sequence[str]) -> tuple[str, ...]:
    if host.node is None or host.status is None:
        return ("",) * len(keys)
    node, status = host.node, host.status
    return tuple(fact(key, node, status) or "" for key in keys)
