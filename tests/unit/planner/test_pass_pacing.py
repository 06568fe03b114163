"""Passes that nothing but statuses asks for rest in proportion to what they cost."""

import pytest

from manager.planner.pass_pacing import MAX_REST_SECONDS, REST_FACTOR, PassPacing, only_task_statuses
from shoal.api.v1.task_pb2 import TaskState
from tests.unit.dispatcher.dispatcher_world import World


def test_a_cheap_pass_is_followed_at_once_and_a_dear_one_after_a_bounded_time() -> None:
    pacing = PassPacing()
    assert pacing.remaining(5.0) == 0.0
    pacing.record_pass(10.0, 10.001)
    assert 0 < pacing.remaining(10.001) <= REST_FACTOR * 0.0011
    assert pacing.remaining(10.1) == 0.0
    pacing.record_pass(20.0, 21.0)
    assert pacing.remaining(21.0) == pytest.approx(MAX_REST_SECONDS)
    assert pacing.remaining(21.1 + MAX_REST_SECONDS) == 0.0


def test_anything_but_statuses_is_looked_at_at_once() -> None:
    world = World()
    statuses, tasks = world.status("t", TaskState.RUNNING), world.task("t", "n")
    assert only_task_statuses([*statuses, *statuses]) and not only_task_statuses([*statuses, *tasks])
