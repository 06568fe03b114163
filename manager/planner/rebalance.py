"""Which tasks to move so that a service is spread over the nodes as a new one would be: as few as can be.

A move is worth it when it evens out a level of the spread (a preference's key, or the nodes themselves) by one task on
either side. Each task moves at most once for each time that the user asks, so it ends. The moves themselves are made
as those of a drain are: a few at a time, the successor first where ports allow it, never below what is healthy.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from manager.planner.demand import Demand
from manager.planner.filters import fitting
from manager.planner.ledger import Host
from manager.planner.schedule import values_of
from shoal.api.v1.task_pb2 import Task

WINDOW_MS = 3_600_000
"""For so long after the user has asked, tasks are moved."""

_Path = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Move:
    """A task, and the node that has room for it; where it really goes is decided when its successor is placed."""

    task: Task
    to: Host


def moves(
    tasks: Sequence[Task], hosts: Iterable[Host], demand: Demand, *, may_move: Callable[[Task], bool], most: int
) -> list[Move]:
    """The best moves, at most so many; none for a service whose nodes are to be filled one after the other.

    Args:
        tasks: those that count, one for each slot, on nodes.
        hosts: those that may get tasks, by rank.
    """
    if demand.packing:
        return []
    hosts = list(hosts)
    paths = {host.id: _path(host, demand) for host in hosts}
    places = {host.id: host for host in hosts}
    counts: Counter[tuple[str, ...]] = Counter(
        prefix for task in tasks if task.node_id in paths for prefix in paths[task.node_id]
    )
    movable: dict[str, list[Task]] = {}
    for task in tasks:
        if task.node_id in paths and may_move(task):
            movable.setdefault(task.node_id, []).append(task)
    found: list[Move] = []
    while len(found) < most and (pair := _best(counts, paths, places, movable, demand)) is not None:
        source, target = pair
        found.append(Move(movable[source].pop(), places[target]))
        counts.subtract(paths[source])
        counts.update(paths[target])
    return found


def _best(
    counts: Counter[tuple[str, ...]],
    paths: dict[str, _Path],
    places: dict[str, Host],
    movable: dict[str, list[Task]],
    demand: Demand,
) -> tuple[str, str] | None:
    def load(node_id: str) -> tuple[int, ...]:
        return tuple(counts[prefix] for prefix in paths[node_id])

    sources = sorted((node_id for node_id, left in movable.items() if left), key=lambda each: (load(each), each))
    own = {node_id: counts[path[-1]] for node_id, path in paths.items()}
    targets = [host.id for host in places.values() if fitting(host, demand, own[host.id]) is None]
    target = min(targets, key=load, default=None)  # of equal ones the first by rank
    if target is None:
        return None
    for source in reversed(sources):
        if _evens(counts, paths[source], paths[target]):
            return source, target
    return None


def _evens(counts: Counter[tuple[str, ...]], source: _Path, target: _Path) -> bool:
    for mine, theirs in zip(source, target, strict=True):
        if mine != theirs:
            return counts[mine] - counts[theirs] >= 2
    return False


def _path(host: Host, demand: Demand) -> _Path:
    """The parts of the cluster that the node belongs to, from the largest to itself."""
    values = values_of(host, (*(key for key, _ in demand.weighted), *demand.spread))
    return (*(values[: length + 1] for length in range(len(values))), (*values, host.id))
