"""Which tasks have to end before another one is started, and when nobody can tell that they have.

What is written by one task of a slot at a time (`mount_rules.is_exclusive`) is so in spite of nodes that are lost: a
node that is down may still run its tasks. Their end is confirmed by the node when it is back; it is taken for granted
when the node is removed, after 24 hours, or when the mount's `hold` is over.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from manager.planner.demand import Demand
from manager.planner.draft import Draft
from manager.planner.homes import moment
from manager.planner.mount_rules import has_one_task
from manager.planner.need import Need
from manager.planner.rolls import Key
from manager.planner.slots import Slot
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.task_pb2 import Task


def held_back(
    draft: Draft, spec: ServiceSpec, demand: Demand, needs: Sequence[tuple[Key, Need]], slots: Mapping[Key, Slot]
) -> list[tuple[Key, Need]]:
    """The needs, those that have to wait with the reason."""
    if not demand.exclusive:
        return list(needs)
    others = list(slots.values()) if has_one_task(spec) else []
    made = []
    for key, need in needs:
        own = [slots[key]] if key in slots else []
        waits = _reason(draft, demand, others or own) if not need.beside else ""
        made.append((key, need._replace(waits=waits) if waits else need))
    return made


def _reason(draft: Draft, demand: Demand, slots: Iterable[Slot]) -> str:
    reason = ""
    for slot in slots:
        for task in _ending(draft, slot):
            where = f"on node {draft.hostname(task.node_id)}"
            reason = f"waits until task {task.id} {where} has ended: {demand.exclusive} is for one task at a time"
        for task in slot.away if demand.elsewhere else ():
            reason = _unconfirmed(draft, demand, task) or reason
    return reason


def _ending(draft: Draft, slot: Slot) -> Iterator[Task]:
    yield from slot.stopping
    yield from (task for task in slot.wanted if task.node_id and draft.is_stopping(task))


def _unconfirmed(draft: Draft, demand: Demand, task: Task) -> str:
    status = draft.down(task.node_id)
    if status is None:
        return ""
    name = draft.hostname(task.node_id)
    text = (
        f"waits since {moment(status.since_ms)} for node {name}, which is down and may still run task {task.id}: "
        f"{demand.elsewhere} is not declared shared"
    )
    if demand.hold_ms is None:
        return f"{text}; it starts when the node is back, after `shoal node rm {name}`, or after 24 hours"
    until = status.since_ms + demand.hold_ms
    if until <= draft.now_ms:
        return ""
    draft.wake(task.service_id, until)
    return f"{text}; it starts at {moment(until)}"
