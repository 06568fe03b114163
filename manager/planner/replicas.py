"""Which slots a service has. Replicated: those it holds, more when there are too few, fewer when there are too many."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from itertools import count, islice

from manager.planner.demand import Demand
from manager.planner.draft import Draft
from manager.planner.filters import standing, unmet
from manager.planner.ledger import Host
from manager.planner.rolls import Key, Roll
from manager.planner.slots import Slot, release, slots_of
from shoal.api.v1.task_pb2 import TaskState


@dataclass(frozen=True)
class Choice:
    """What follows from the number of replicas.

    Attributes:
        keep: loud slots that stay.
        fresh: numbers of new ones, which have no task yet.
        release: slots to give up.
    """

    keep: list[Slot]
    fresh: list[int]
    release: list[Slot]


def choose_slots(draft: Draft, slots: dict[Key, Slot], roll: Roll, replicas: int, *, home: str = "") -> Choice:
    """Which slots to keep, to add and to release, each in the order of their numbers.

    Args:
        home: the node where the volume of the one task that is left has its home: the task there is kept.

    Quiet slots stay too; when there are too many, none is quiet any more. New ones get the lowest free numbers.
    """
    held = {key: slot for key, slot in slots.items() if isinstance(key, int) and slot.is_held()}
    quiet = roll.quiet
    missing = replicas - len(held) - len(quiet)
    if missing < 0 and quiet:
        roll.wake_all()
        slots.clear()
        slots.update(slots_of(draft, roll))
        return choose_slots(draft, slots, roll, replicas, home=home)
    chosen = list(islice((key for key in count(1) if key not in held and key not in quiet), max(0, missing)))
    fresh = []
    others = [slot for key, slot in slots.items() if key not in held]
    for key in chosen:
        if key in slots:
            held[key] = slots[key]
        else:
            fresh.append(key)
    at_home = [key for key, slot in held.items() if home and any(task.node_id == home for task in slot.wanted)]
    movable = {key: slot for key, slot in held.items() if key not in at_home[:1]} if replicas else held
    surplus = _surplus(draft, movable, max(0, -missing))
    keep = [held[key] for key in sorted(held) if key not in surplus]
    kept = {slot.key for slot in keep}
    release = [slot for slot in others if slot.key not in kept] + [held[key] for key in sorted(surplus)]
    return Choice(keep, fresh, release)


def follow_slots(draft: Draft, slots: dict[Key, Slot], roll: Roll, choose: Callable[[set[int]], set[int]]) -> Choice:
    """As `choose_slots` where another service's slots are to be the same.

    Args:
        choose: the numbers of the slots that it is to have, of those that it has.
    """
    held = {key for key, slot in slots.items() if isinstance(key, int) and slot.is_held()}
    wanted = choose(held | {key for key in roll.quiet if isinstance(key, int)})
    if roll.quiet.keys() - wanted:
        roll.wake_all()
        slots.clear()
        slots.update(slots_of(draft, roll))
        return follow_slots(draft, slots, roll, choose)
    keep = [slots[key] for key in sorted(wanted) if key in slots]
    fresh = [key for key in sorted(wanted) if key not in slots and key not in roll.quiet]
    return Choice(keep, fresh, [slot for key, slot in slots.items() if key not in wanted])


def choose_nodes(
    draft: Draft, slots: Mapping[Key, Slot], demand: Demand, admits: Callable[[Host], bool] | None
) -> list[str]:
    """Ids of the nodes that a global service is to have tasks on, in order; its slots elsewhere are given up.

    Args:
        admits: what else a node has to meet.
    """
    hosts = draft.ledger.hosts
    for slot in slots.values():
        host = hosts.get(str(slot.key))
        if host is None or host.node is None:
            continue
        if draft.is_drained(host.id) or unmet(host, demand) or not (admits is None or admits(host)):
            release(draft, slot, "the placement does not admit the node")
    fit = sorted(identifier for identifier, host in hosts.items() if standing(host, demand) is None)
    return fit if admits is None else [identifier for identifier in fit if admits(hosts[identifier])]


def _surplus(draft: Draft, held: dict[int, Slot], excess: int) -> set[int]:
    """Those that do not run go first, then those on the nodes with most of them, then the highest numbers."""
    if not excess:
        return set()
    running: dict[str, list[int]] = {}
    idle: list[int] = []
    for key in sorted(held):
        task = next((task for task in held[key].wanted if draft.state(task) == TaskState.RUNNING), None)
        (running.setdefault(task.node_id, []) if task is not None else idle).append(key)
    chosen = set(idle[::-1][:excess])
    heap = [(-len(keys), -keys[-1], keys) for keys in running.values()]
    heapify(heap)
    while len(chosen) < excess:
        keys = heap[0][2]
        chosen.add(keys.pop())
        if keys:
            heapreplace(heap, (-len(keys), -keys[-1], keys))
        else:
            heappop(heap)
    return chosen
