"""Chooses the slots of a service: those it has, more when there are too few, fewer when there are too many."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from itertools import count, islice

from manager.planner.draft import Draft
from manager.planner.index.resource_index import NodeUsage
from manager.planner.index.slot_index import ServiceSlots, SlotKey
from manager.planner.scheduler.node_filters import ineligible, unmet_constraint
from manager.planner.slots.slot_tasks import Slot, classify_dirty, remove_slot
from manager.planner.spec.requirements import Requirements
from shoal.api.v1.task_pb2 import TaskState


@dataclass(frozen=True)
class SlotChoice:
    """What follows from the number of replicas.

    Attributes:
        keep: dirty slots that stay.
        new: numbers of new ones, which have no task yet.
        remove: slots to remove.
    """

    keep: list[Slot]
    new: list[int]
    remove: list[Slot]


def choose_slots(
    draft: Draft, slots: dict[SlotKey, Slot], index: ServiceSlots, replicas: int, *, home: str = ""
) -> SlotChoice:
    """Which slots to keep, to add and to remove, each in the order of their numbers.

    Args:
        home: the node where the volume of the one task that is left has its home: the task there is kept.

    Settled slots stay too; when there are too many, all are made dirty. New ones get the lowest free numbers.
    """
    held = {key: slot for key, slot in slots.items() if isinstance(key, int) and slot.is_occupied()}
    settled = index.settled
    missing = replicas - len(held) - len(settled)
    if missing < 0 and settled:
        index.mark_all_dirty()
        slots.clear()
        slots.update(classify_dirty(draft, index))
        return choose_slots(draft, slots, index, replicas, home=home)
    chosen = list(islice((key for key in count(1) if key not in held and key not in settled), max(0, missing)))
    fresh = []
    others = [slot for key, slot in slots.items() if key not in held]
    for key in chosen:
        if key in slots:
            held[key] = slots[key]
        else:
            fresh.append(key)
    on_home_node = [key for key, slot in held.items() if home and any(task.node_id == home for task in slot.active)]
    movable = {key: slot for key, slot in held.items() if key not in on_home_node[:1]} if replicas else held
    surplus = _surplus(draft, movable, max(0, -missing))
    keep = [held[key] for key in sorted(held) if key not in surplus]
    kept = {slot.key for slot in keep}
    remove = [slot for slot in others if slot.key not in kept] + [held[key] for key in sorted(surplus)]
    return SlotChoice(keep, fresh, remove)


def match_provider_slots(
    draft: Draft, slots: dict[SlotKey, Slot], index: ServiceSlots, choose: Callable[[set[int]], set[int]]
) -> SlotChoice:
    """As `choose_slots` where another service's slots are to be the same.

    Args:
        choose: the numbers of the slots that it is to have, of those that it has.
    """
    held = {key for key, slot in slots.items() if isinstance(key, int) and slot.is_occupied()}
    desired = choose(held | {key for key in index.settled if isinstance(key, int)})
    if index.settled.keys() - desired:
        index.mark_all_dirty()
        slots.clear()
        slots.update(classify_dirty(draft, index))
        return match_provider_slots(draft, slots, index, choose)
    keep = [slots[key] for key in sorted(desired) if key in slots]
    fresh = [key for key in sorted(desired) if key not in slots and key not in index.settled]
    return SlotChoice(keep, fresh, [slot for key, slot in slots.items() if key not in desired])


def choose_nodes(
    draft: Draft, slots: Mapping[SlotKey, Slot], demand: Requirements, admits: Callable[[NodeUsage], bool] | None
) -> list[str]:
    """Ids of the nodes that a global service is to have tasks on, in order; its slots elsewhere are removed.

    Args:
        admits: what else a node has to meet.
    """
    hosts = draft.resources.hosts
    for slot in slots.values():
        host = hosts.get(str(slot.key))
        if host is None or host.node is None:
            continue
        if draft.is_drained(host.id) or unmet_constraint(host, demand) or not (admits is None or admits(host)):
            remove_slot(draft, slot, "its node no longer meets the placement")
    fit = sorted(identifier for identifier, host in hosts.items() if ineligible(host, demand) is None)
    return fit if admits is None else [identifier for identifier in fit if admits(hosts[identifier])]


def _surplus(draft: Draft, held: dict[int, Slot], excess: int) -> set[int]:
    """Which slots to remove: those without a running task, then those on the nodes with most, then the highest."""
    if not excess:
        return set()
    running: dict[str, list[int]] = {}
    idle: list[int] = []
    for key in sorted(held):
        task = next((task for task in held[key].active if draft.state(task) == TaskState.RUNNING), None)
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
