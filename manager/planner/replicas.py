"""Which slots a replicated service has: those it holds, more when there are too few, fewer when there are too many."""

from heapq import heapify, heappop, heapreplace
from itertools import count, islice

from manager.planner.draft import Draft
from manager.planner.slots import Key, Slot
from shoal.api.v1.task_pb2 import TaskState


def choose_slots(draft: Draft, slots: dict[Key, Slot], replicas: int) -> tuple[list[Slot], list[Slot]]:
    """Slots to keep, new ones included, and slots to release; both in the order of their numbers.

    New slots get the lowest free numbers and are added to `slots`.
    """
    held = {key: slot for key, slot in slots.items() if isinstance(key, int) and slot.is_held()}
    others = [slot for key, slot in slots.items() if key not in held]
    missing = replicas - len(held)
    for key in islice((number for number in count(1) if number not in held), max(0, missing)):
        held[key] = slots.setdefault(key, Slot(key))
    surplus = _surplus(draft, held, max(0, -missing))
    keep = [held[key] for key in sorted(held) if key not in surplus]
    kept = {slot.key for slot in keep}
    release = [slot for slot in others if slot.key not in kept] + [held[key] for key in sorted(surplus)]
    return keep, release


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
