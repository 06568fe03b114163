"""Passes that nothing but statuses asks for rest in proportion to what they cost."""

import pytest

from manager.planner.pacing import MOST_REST_SECONDS, REST_FACTOR, Pacing, is_patient
from shoal.api.v1.task_pb2 import TaskState
from tests.unit.dispatcher.dispatcher_world import World


def test_a_cheap_pass_is_followed_at_once_and_a_dear_one_after_a_bounded_time() -> None:
    pacing = Pacing()
    assert pacing.rest(5.0) == 0.0
    pacing.passed(10.0, 10.001)
    assert 0 < pacing.rest(10.001) <= REST_FACTOR * 0.0011
    assert pacing.rest(10.1) == 0.0
    pacing.passed(20.0, 21.0)
    assert pacing.rest(21.0) == pytest.approx(MOST_REST_SECONDS)
    assert pacing.rest(21.1 + MOST_REST_SECONDS) == 0.0


def test_anything_but_statuses_is_looked_at_at_once() -> None:
    world = World()
    statuses, tasks = world.status("t", TaskState.RUNNING), world.task("t", "n")
    assert is_patient([*statuses, *statuses]) and not is_patient([*statuses, *tasks])
