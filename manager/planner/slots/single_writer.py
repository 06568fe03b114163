"""Single writers: which tasks have to end before a successor starts, and what counts as an end on a node that is down.

Data of an exclusive mount (`mount_rules.is_exclusive`) is written by one task of a slot at a time, even when nodes are
lost: a node that is down may still run its tasks. The node confirms their end when it is back; it is assumed once the
node is removed, after 24 hours, or when the mount's `failover_after_ms` has passed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from manager.planner.draft import Draft
from manager.planner.index.slot_index import SlotKey
from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.slots.slot_tasks import Slot
from manager.planner.spec.mount_rules import has_one_task
from manager.planner.spec.problem_texts import WAITING_SINCE
from manager.planner.spec.requirements import Requirements
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.task_pb2 import Task
from shoal.utc_text import utc_text


def await_predecessors(
    draft: Draft,
    spec: ServiceSpec,
    demand: Requirements,
    requests: Sequence[tuple[SlotKey, PlacementRequest]],
    slots: Mapping[SlotKey, Slot],
) -> list[tuple[SlotKey, PlacementRequest]]:
    """The requests; those that have to wait get a `wait_reason`."""
    if not demand.exclusive_mount:
        return list(requests)
    others = list(slots.values()) if has_one_task(spec) else []
    found = []
    for key, request in requests:
        own = [slots[key]] if key in slots else []
        reason = _reason(draft, demand, others or own) if not request.start_first else ""
        found.append((key, request._replace(wait_reason=reason) if reason else request))
    return found


def _reason(draft: Draft, demand: Requirements, slots: Iterable[Slot]) -> str:
    reason = ""
    for slot in slots:
        for task in _ending(draft, slot):
            where = f"on node {draft.hostname(task.node_id)}"
            only = f"only one task at a time may use {demand.exclusive_mount}"
            reason = f"waiting until task {task.id} {where} has ended: {only}"
        for task in slot.unreachable if demand.exclusive_remote else ():
            reason = unconfirmed_reason(draft, demand, task) or reason
    return reason


def _ending(draft: Draft, slot: Slot) -> Iterator[Task]:
    yield from slot.stopping
    yield from (task for task in slot.active if task.node_id and draft.is_stopping(task))


def unconfirmed_reason(draft: Draft, demand: Requirements, task: Task) -> str:
    """Why a successor waits for the end of a task on a node that is down; empty when it need not."""
    status = draft.down_status(task.node_id)
    if status is None:
        return ""
    name = draft.hostname(task.node_id)
    text = (
        f"{WAITING_SINCE}{utc_text(status.since_ms)} for node {name}, which "
        f"is down and may still run task {task.id}: "
        f"{demand.exclusive_remote} is not marked as shared"
    )
    if demand.failover_after_ms is None:
        return f"{text}; it starts when the node is back, after `shoal node rm {name}`, or after 24 hours"
    until = status.since_ms + demand.failover_after_ms
    if until <= draft.now_ms:
        return ""
    draft.requeue_at(task.service_id, until)
    return f"{text}; it starts at {utc_text(until)}"
