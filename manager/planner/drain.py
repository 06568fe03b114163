"""When a node that is being drained stops being gentle with a task."""

from manager.planner.draft import Draft
from shoal.api.v1.task_pb2 import Task, TaskState


def is_over(draft: Draft, task: Task) -> bool:
    """Whether the task's node is being drained and the time to do so gently is over: then the task is stopped.

    The service is planned again when the time will be over.
    """
    by_ms = draft.drain_by_ms(task.node_id)
    if by_ms is None:
        return False
    if by_ms > draft.now_ms:
        draft.wake(task.service_id, by_ms)
        return False
    draft.stop(task, TaskState.SHUTDOWN, "its node is drained, and the time for it is over")
    return True
