"""Stops the tasks of a drained node once its deadline has passed."""

from manager.planner.draft import Draft
from shoal.api.v1.task_pb2 import Task, TaskState


def stop_if_overdue(draft: Draft, task: Task) -> bool:
    """Stop the task if the drain deadline of its node has passed; whether it has.

    Before the deadline, the service is planned again when it passes.
    """
    deadline_ms = draft.drain_deadline_ms(task.node_id)
    if deadline_ms is None:
        return False
    if deadline_ms > draft.now_ms:
        draft.requeue_at(task.service_id, deadline_ms)
        return False
    draft.stop(task, TaskState.SHUTDOWN, "drain deadline exceeded")
    return True
