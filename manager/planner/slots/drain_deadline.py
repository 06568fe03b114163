"""Stops the tasks of a drained node once its deadline has passed."""

from manager.planner.draft import Draft
from manager.planner.slots.slot_tasks import TaskStop
from shoal.api.v1.task_pb2 import Task, TaskState


def check_deadline(draft: Draft, task: Task) -> TaskStop | int | None:
    """The task's stop if the drain deadline of its node has passed, else when it passes; None when there is none.

    Times are milliseconds since the Unix epoch.
    """
    deadline_ms = draft.drain_deadline_ms(task.node_id)
    if deadline_ms is None or deadline_ms > draft.now_ms:
        return deadline_ms
    return TaskStop(task, TaskState.SHUTDOWN, "drain deadline exceeded")
