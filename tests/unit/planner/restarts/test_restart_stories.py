"""Restarts by nodes and by the planner: stories of the model that chance seldom tells."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shoal.api.v1.service_pb2 import RestartPolicy
from tests.unit.planner.restarts.restart_cluster import NAMES
from tests.unit.planner.restarts.test_restart_model import TaskLives


@contextmanager
def lifecycle(**policy: int) -> Iterator[TaskLives]:
    """All is well at first, and once it has ended."""
    made = TaskLives()
    made.begin(RestartPolicy(**policy))  # type: ignore[arg-type]
    try:
        yield made
        made.all_is_well()
        made.one_container()
    finally:
        made.teardown()


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_an_end_is_written_late_that_another_manager_has_dropped(name: str, killed: bool) -> None:
    with lifecycle(delay_ms=1_000) as task:
        task.end_is_written_and_etcd_lost(False, 3, "under way", killed, (name,), 70.0)
        task.one_container()


def test_restarts_by_the_planner_are_attempts_for_the_node() -> None:
    with lifecycle(delay_ms=1_000, max_attempts=2) as task:
        task.program_ends_while_all_is_well([3, 3], 70.0)
        task.program_ends_after_a_loss(False, [3], "managers", 15.0)
        assert not task.cluster.host.running()
        assert len(task.cluster.restarts_ms()) == 2


def test_restarts_by_the_node_are_attempts_for_the_planner() -> None:
    with lifecycle(delay_ms=1_000, max_attempts=3) as task:
        task.program_ends_after_a_loss(False, [3, 3], "ways", 70.0)
        task.program_ends_while_all_is_well([3, 3], 70.0)
        assert not task.cluster.host.running()
        assert len(task.cluster.restarts_ms()) == 3
