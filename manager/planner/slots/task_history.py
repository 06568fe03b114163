"""Ended tasks: how many of them a slot keeps, and on which nodes a service keeps failing."""

from collections import Counter
from collections.abc import Iterable

from manager.planner.draft import Draft
from manager.planner.slots.slot_tasks import FAILURE_WINDOW_MS, FAILURES, Slot
from shoal.api.v1.service_pb2 import RestartPolicy
from shoal.api.v1.task_pb2 import TaskState

KEPT_PER_SLOT = 5
# A restart policy that counts more attempts needs more of them, up to this.
_MAX_KEPT = 100

_FAILURE_LIMIT = 3
"""A node where the service failed so often within FAILURE_WINDOW_MS gets its tasks last."""


def trim(draft: Draft, slot: Slot, policy: RestartPolicy) -> None:
    """Delete ended tasks that are to be removed, and the oldest ones beyond what a slot keeps."""
    keep = max(KEPT_PER_SLOT, min(policy.max_attempts + 1, _MAX_KEPT)) if policy.max_attempts else KEPT_PER_SLOT
    left = []
    for task in slot.ended:
        if task.desired_state >= TaskState.REMOVE:
            draft.delete_task(task)
        else:
            left.append(task)
    for task in left[: max(0, len(left) - keep)]:
        draft.delete_task(task)


def failing_nodes(draft: Draft, slots: Iterable[Slot]) -> frozenset[str]:
    """Nodes where the service failed three times within five minutes."""
    since = draft.now_ms - FAILURE_WINDOW_MS
    failures: Counter[str] = Counter()
    for slot in slots:
        for task in slot.ended:
            status = draft.view.task_status.get(task.id)
            failed = status is not None and status.state in FAILURES
            if failed and status is not None and status.at_ms >= since:
                failures[task.node_id] += 1
    return frozenset(node for node, number in failures.items() if number >= _FAILURE_LIMIT)
