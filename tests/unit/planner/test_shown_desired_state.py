"""The desired state of a task, as users see it."""

import pytest

from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import shown_desired_state

S = TaskState


@pytest.mark.parametrize(
    ("desired", "run", "state", "reported"),
    [
        (S.RUNNING, 0, S.RUNNING, S.RUNNING),
        (S.RUNNING, 0, S.PENDING, S.RUNNING),
        (S.RUNNING, 0, S.FAILED, S.SHUTDOWN),
        (S.RUNNING, 0, S.COMPLETE, S.SHUTDOWN),
        (S.RUNNING, 1, S.RUNNING, S.COMPLETE),
        (S.RUNNING, 1, S.COMPLETE, S.COMPLETE),
        (S.RUNNING, 2, S.FAILED, S.COMPLETE),
        (S.SHUTDOWN, 2, S.FAILED, S.SHUTDOWN),
        (S.REMOVE, 0, S.RUNNING, S.REMOVE),
    ],
)
def test_goal(desired: TaskState.ValueType, run: int, state: TaskState.ValueType, reported: int) -> None:
    assert shown_desired_state(Task(desired_state=desired, job_run=run), state) == reported
