"""Stops the tasks of a drained node once its deadline has passed."""

from manager.planner.draft import Draft
from shoal.api.v1.task_pb2 import Task, TaskState


def stop_if_overdue(draft: Draft, task: Task) -> bool:
    """Whether the task's node is being drained and the time to do so gently is over: then the task is stopped.

    The service is planned again when the time will be over.
    """
    deadline_ms = draft.drain_deadline_ms(task.node_id)
    if deadline_ms is None:
        return False
    if deadline_ms > draft.now_ms:
        draft.requeue_at(task.service_id, deadline_ms)
        return False
    draft.stop(task, TaskState.SHUTDOWN, "drain deadline exceeded")
    return True
