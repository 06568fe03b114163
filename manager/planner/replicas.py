"""Which slots a replicated service has: those it holds, more when there are too few, fewer when there are too many."""

from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from itertools import count, islice

from manager.planner.draft import Draft
from manager.planner.rolls import Key, Roll
from manager.planner.slots import Slot, slots_of
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
