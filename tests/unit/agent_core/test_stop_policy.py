"""How long a container has between its stop signal and SIGKILL."""

import math

import pytest

from agent.worker.shutdown.stop_policy import grace_seconds
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task


@pytest.mark.parametrize(
    ("ordered", "own", "expected"),
    [
        (None, None, 10),
        (None, 3000, 3),
        (2000, 3000, 2),
        (0, 3000, 0),
        (None, 0, 0),
        (None, -1, math.inf),
        (-1, 0, math.inf),
    ],
)
def test_grace(ordered: int | None, own: int | None, expected: float) -> None:
    task, revision = Task(), ServiceRevision()
    if ordered is not None:
        task.stop.grace_ms = ordered
    if own is not None:
        revision.spec.task.container.stop_grace_ms = own
    assert grace_seconds(task, revision) == expected


def test_grace_of_a_revision_that_is_not_known() -> None:
    assert grace_seconds(Task(), None) == 10
