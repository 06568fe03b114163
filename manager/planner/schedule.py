"""Places a batch of like tasks: a heap of nodes, so that each task costs the depth of the heap and not the cluster.

Order among nodes that fit: those that do not keep failing the service, fewest tasks of the service, least reserved
share, fewest tasks, id. With spread preferences the heaps hang in a tree with a level for each preference, and a
task goes to the value that has the fewest tasks of the service.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heapreplace

from manager.planner.constraints import fact
from manager.planner.demand import Demand
from manager.planner.filters import fitting
from manager.planner.ledger import Host

_Entry = tuple[bool, int, float, int, str, Host]


class Batch:
    """Nodes in the order in which a service's tasks go to them."""

    def __init__(
        self, hosts: Iterable[Host], demand: Demand, counts: Counter[str], failing: Collection[str] = ()
    ) -> None:
        """`hosts` have passed the standing filters; `counts` are the service's tasks by node, and are kept up."""
        self._tree = _grow(list(hosts), demand, counts, failing, demand.spread)
        self._counts = counts

    def take(self) -> Host | None:
        """The node for the next task, or None when none fits. The caller claims for the task before the next call."""
        host = self._tree.take()
        if host is not None:
            self._counts[host.id] += 1
        return host


class _Leaf:
    """A heap of nodes. The node taken last is still on top, under its old key, until the next call."""

    def __init__(self, hosts: list[Host], demand: Demand, counts: Counter[str], failing: Collection[str]) -> None:
        self._demand, self._counts, self._failing = demand, counts, failing
        self._heap: list[_Entry] = [self._entry(host) for host in hosts]
        heapify(self._heap)
        self._stale = False

    def take(self) -> Host | None:
        heap = self._heap
        if self._stale:
            heapreplace(heap, self._entry(heap[0][5]))
            self._stale = False
        while heap:
            host = heap[0][5]
            if fitting(host, self._demand, self._counts[host.id]) is None:
                self._stale = True
                return host
            heappop(heap)  # nothing comes free within a batch
        return None

    def _entry(self, host: Host) -> _Entry:
        return (host.id in self._failing, self._counts[host.id], host.share(), host.tasks, host.id, host)


class _Branch:
    """A heap of subtrees, one for each value of a preference's key."""

    def __init__(self, children: Iterable[tuple[int, str, "_Leaf | _Branch"]]) -> None:
        self._heap = list(children)
        heapify(self._heap)

    def take(self) -> Host | None:
        heap = self._heap
        while heap:
            count, value, child = heap[0]
            host = child.take()
            if host is not None:
                heapreplace(heap, (count + 1, value, child))
                return host
            heappop(heap)
        return None


def _grow(
    hosts: list[Host], demand: Demand, counts: Counter[str], failing: Collection[str], levels: tuple[str, ...]
) -> _Leaf | _Branch:
    if not levels:
        return _Leaf(hosts, demand, counts, failing)
    by_value: dict[str, list[Host]] = {}
    for host in hosts:
        if host.node is not None and host.status is not None:
            by_value.setdefault(fact(levels[0], host.node, host.status) or "", []).append(host)
    return _Branch(
        (sum(counts[host.id] for host in members), value, _grow(members, demand, counts, failing, levels[1:]))
        for value, members in by_value.items()
    )
