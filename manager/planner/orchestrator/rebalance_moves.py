"""The fewest moves after which a service is spread over the nodes as a new one would be.

A move is made when it balances a level of the spread (a preference's key, or the nodes themselves) by one task on
either side. Each task moves at most once for each request, so it ends. Moves are made as those of a drain are: a few at
a time, in the service's order. Tasks that their volumes bind to a node do not move.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from manager.planner.index.resource_index import NodeUsage
from manager.planner.scheduler.node_filters import unfit
from manager.planner.scheduler.node_order import topology_values
from manager.planner.spec.requirements import Requirements
from shoal.api.v1.task_pb2 import Task

WINDOW_MS = 3_600_000
"""For so long after a request tasks are moved."""

_Prefix = tuple[str, ...]
_Path = tuple[_Prefix, ...]


@dataclass(frozen=True)
class RebalanceMove:
    """A task, and the node that its successor goes to if it still fits there."""

    task: Task
    to: NodeUsage


def find_moves(
    tasks: Sequence[Task],
    hosts: Iterable[NodeUsage],
    demand: Requirements,
    *,
    may_move: Callable[[Task], bool],
    most: int,
) -> list[RebalanceMove]:
    """The best moves, at most so many; none for a service whose tasks are packed or have an affinity to each other.

    Args:
        tasks: the newest of each slot, on nodes.
        hosts: eligible nodes, by rank.
    """
    if demand.binpack or demand.self_affinity or demand.soft_self_affinity:
        return []
    tree = _TopologyTree(list(hosts), demand)
    for task in tasks:
        tree.count(task, movable=may_move(task))
    found: list[RebalanceMove] = []
    while len(found) < most and (pair := tree.best()) is not None:
        found.append(tree.move(*pair))
    return found


class _TopologyTree:
    """The nested domains of the cluster, down to nodes, and how many tasks of the service each has."""

    def __init__(self, hosts: Sequence[NodeUsage], demand: Requirements) -> None:
        self._demand = demand
        self._hosts = {_path(host, demand): host for host in hosts}
        self._paths = {host.id: path for path, host in self._hosts.items()}
        self._counts: Counter[_Prefix] = Counter()
        self._movable: dict[_Path, list[Task]] = {}
        self._parts: dict[_Prefix, dict[_Prefix, None]] = {}
        for path in self._hosts:
            for outer, inner in pairwise(((), *path)):
                self._parts.setdefault(outer, {})[inner] = None

    def count(self, task: Task, *, movable: bool) -> None:
        """Count a task; those on ineligible nodes do not count."""
        path = self._paths.get(task.node_id)
        if path is not None:
            self._counts.update(path)
            if movable:
                self._movable.setdefault(path, []).append(task)

    def best(self) -> tuple[_Path, _Path] | None:
        """The source and the target of the next move, the outermost imbalance first; None when all is balanced."""
        sources = {prefix for path, left in self._movable.items() if left for prefix in path}
        fits = [path for path, host in self._hosts.items() if self._fits(path, host)]
        targets = {prefix for path in fits for prefix in path}
        for parts in self._parts.values():
            fullest = max((part for part in parts if part in sources), key=self._load, default=None)
            emptiest = min((part for part in parts if part in targets), key=self._load, default=None)
            if fullest is None or emptiest is None or self._counts[fullest] - self._counts[emptiest] < 2:
                continue
            source = max((path for path, left in self._movable.items() if left and fullest in path), key=self._loads)
            return source, min((path for path in fits if emptiest in path), key=self._loads)
        return None

    def move(self, source: _Path, target: _Path) -> RebalanceMove:
        """Move one of the source's tasks to the target."""
        self._counts.subtract(source)
        self._counts.update(target)
        return RebalanceMove(self._movable[source].pop(), self._hosts[target])

    def _fits(self, path: _Path, host: NodeUsage) -> bool:
        return unfit(host, self._demand, self._counts[path[-1]]) is None

    def _load(self, prefix: _Prefix) -> int:
        return self._counts[prefix]

    def _loads(self, path: _Path) -> tuple[int, ...]:
        return tuple(self._counts[prefix] for prefix in path)


def _path(host: NodeUsage, demand: Requirements) -> _Path:
    """The domains of the node, from the largest to the node itself."""
    values = topology_values(host, (*(key for key, _ in demand.weighted_spread), *demand.spread))
    return (*(values[: length + 1] for length in range(len(values))), (*values, host.id))
