"""Earlier tasks: how many ended ones a slot keeps, its restarts, and on which nodes a service keeps failing."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from manager.planner.draft import Draft
from manager.planner.index.slot_index import SlotKey, age
from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.slots.slot_tasks import FAILURE_WINDOW_MS, FAILURES, Slot
from shoal.api.v1.service_pb2 import RestartPolicy
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.restarts.restart_policy import counted_restarts

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


def with_restarts(
    draft: Draft,
    requests: Sequence[tuple[SlotKey, PlacementRequest]],
    slots: Mapping[SlotKey, Slot],
    policy: RestartPolicy,
    is_counted: Callable[[Task], bool],
) -> Sequence[tuple[SlotKey, PlacementRequest]]:
    """The requests with the earlier restarts of their slots, where the policy bounds attempts.

    Args:
        slots: those that have tasks.
        is_counted: the task is of the template that is requested.
    """
    if not policy.max_attempts:
        return requests
    statuses, found = draft.view.task_status, []
    for key, request in requests:
        earlier = slots[key].all() if key in slots else ()
        tasks = sorted((task for task in earlier if task.node_id and is_counted(task)), key=age)
        ends = [(task, statuses.get(task.id)) for task in tasks]
        found.append((key, request._replace(restarted_at_ms=counted_restarts(ends))))
    return found


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
