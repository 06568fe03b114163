"""Canaries in virtual time: they wait, are promoted, and are taken back at once when the user says so."""

from collections import Counter

import pytest

from manager.planner.spec.effective_spec import current_update
from shoal.api.v1.control_pb2 import ManageUpdateRequest
from shoal.api.v1.service_pb2 import Replicated, RestartPolicy, ServiceSpec, TaskTemplate, UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.planner_world import World

S = UpdateStatus
MANAGE = ManageUpdateRequest


def spec(image: str, **update: object) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=4), task=TaskTemplate(restart=RestartPolicy(delay_ms=1_000)))
    made.task.container.image = image
    made.update.CopyFrom(UpdateConfig(canary=1, monitor_ms=100, **update))  # type: ignore[arg-type]
    return made


def waiting(**update: object) -> World:
    """A service of four tasks, one of which is a canary that waits."""
    world = World()
    for name in ("h1", "h2"):
        world.node(name)
    world.service("web", spec("a:1", **update))
    world.settle()
    world.service("web", spec("a:2", **update))
    world.settle()
    assert state(world) == S.CANARY
    assert images(world) == {"a:1": 3, "a:2": 1}
    return world


def state(world: World) -> UpdateStatus.State.ValueType:
    update = current_update(world.tables, world.tables.services["web"])
    assert update is not None
    return update.state


def images(world: World) -> Counter[str]:
    specs = world.tables.revisions
    return Counter(specs[f"web/{task.revision}"].spec.task.container.image for task in world.running("web"))


def test_canaries_wait_for_promotion() -> None:
    world = waiting()
    world.now_ms += 3_600_000
    assert not world.plan().writes
    assert world.manage("web", MANAGE.PROMOTE)
    world.settle()
    assert (state(world), images(world)) == (S.COMPLETED, {"a:2": 4})


def test_they_promote_themselves_where_that_is_wanted() -> None:
    world = World()
    world.node("h1")
    world.service("web", spec("a:1", auto_promote=True))
    world.settle()
    world.service("web", spec("a:2", auto_promote=True))
    world.settle()
    assert (state(world), images(world)) == (S.COMPLETED, {"a:2": 4})


@pytest.mark.parametrize("rollback", [True, False])
def test_a_rollback_while_they_wait_acts_at_once(rollback: bool) -> None:
    """Whether it is asked for as one, or the earlier template is submitted anew."""
    world = waiting()
    before = {task.id for task in world.running("web") if task.revision == 1}
    world.service("web", spec("a:1"), rollback=rollback)
    world.plan()
    world.obey()
    world.settle()
    assert (state(world), images(world)) == (S.COMPLETED, {"a:1": 4})
    assert before < {task.id for task in world.running("web")}, "those that ran it all along stay"


def test_a_rollback_after_the_promotion_has_no_canaries() -> None:
    world = waiting()
    world.manage("web", MANAGE.PROMOTE)
    world.settle()
    world.service("web", spec("a:1"), rollback=True)
    world.settle()
    assert (state(world), images(world)) == (S.COMPLETED, {"a:1": 4})


def test_a_rollback_of_the_users_follows_the_policy_of_rollbacks() -> None:
    world = waiting()
    world.manage("web", MANAGE.PROMOTE)
    world.settle()
    desired = spec("a:1", delay_ms=60_000)
    desired.rollback.CopyFrom(UpdateConfig(parallelism=4, monitor_ms=0))
    world.service("web", desired, rollback=True)
    began = world.now_ms
    for _ in range(4):
        world.plan()
        world.obey()
    assert images(world) == {"a:1": 4}
    assert world.now_ms == began


def test_a_rollback_of_a_paused_update_acts_at_once() -> None:
    world = waiting()
    assert world.manage("web", MANAGE.PAUSE)
    world.plan()
    assert state(world) == S.PAUSED
    world.service("web", spec("a:1"), rollback=True)
    world.settle()
    assert (state(world), images(world)) == (S.COMPLETED, {"a:1": 4})


def test_canaries_that_fail_are_rolled_back_without_a_word() -> None:
    world = World()
    world.node("h1")
    world.service("web", spec("a:1"))
    world.settle()
    world.service("web", spec("a:2"))
    world.plan()
    world.obey()
    world.plan()
    canary = next(task for task in world.tasks("web") if task.revision == 2)
    world.report(canary, TaskState.FAILED, message="no such file")
    world.settle()
    assert (state(world), images(world)) == (S.ROLLED_BACK, {"a:1": 4})


def test_a_third_version_while_they_wait_has_canaries_of_its_own() -> None:
    world = waiting()
    world.service("web", spec("a:3"))
    world.settle()
    assert state(world) == S.CANARY
    assert images(world)["a:3"] == 1


ASKED = [MANAGE.PAUSE, MANAGE.RESUME, MANAGE.PROMOTE]


def test_what_can_be_asked_in_each_state() -> None:
    admitted: dict[str, list[bool]] = {}
    world = waiting()
    admitted["canary"] = _admitted(world)
    world.manage("web", MANAGE.PAUSE)
    admitted["about to be paused"] = _admitted(world)
    world.plan()
    admitted["paused"] = _admitted(world)
    world.manage("web", MANAGE.RESUME)
    world.plan()
    world.plan()
    admitted["resumed"] = _admitted(world)
    world.manage("web", MANAGE.PROMOTE)
    admitted["promoted"] = _admitted(world)
    world.settle()
    admitted["completed"] = _admitted(world)
    assert admitted == {
        "canary": [True, False, True],
        "about to be paused": [False, True, False],
        "paused": [False, True, False],
        "resumed": [True, False, True],
        "promoted": [True, False, False],
        "completed": [False, False, False],
    }


def _admitted(world: World) -> list[bool]:
    """What of `ASKED` is admitted; the service stays as it was."""
    found = []
    for action in ASKED:
        before = world.tables.services["web"]
        found.append(world.manage("web", action))
        world.put_service(before)
    return found


@pytest.mark.parametrize("way", [[0], [1], [1, 0], [0, 2, 0]])
def test_scaling_down_and_up_again_does_not_promote(way: list[int]) -> None:
    world = waiting()
    for replicas in way:
        scale(world, replicas)
        assert state(world) == S.CANARY
    scale(world, 6)
    assert (state(world), images(world)) == (S.CANARY, {"a:1": 5, "a:2": 1})
    assert world.manage("web", MANAGE.PROMOTE)
    world.settle()
    assert (state(world), images(world)) == (S.COMPLETED, {"a:2": 6})


def test_scaling_up_and_a_task_that_ends_do_not_promote() -> None:
    world = waiting()
    scale(world, 8)
    assert images(world) == {"a:1": 7, "a:2": 1}
    old = next(task for task in world.running("web") if task.revision == 1)
    world.report(old, TaskState.FAILED)
    world.settle()
    world.now_ms += 10_000
    world.settle()
    assert (state(world), images(world)) == (S.CANARY, {"a:1": 7, "a:2": 1})


def test_as_many_canaries_as_tasks_wait_for_promotion_too() -> None:
    world = World()
    world.node("h1")
    one = spec("a:1")
    one.replicated.replicas = 1
    world.service("web", one)
    world.settle()
    one.task.container.image = "a:2"
    world.service("web", one)
    world.settle()
    assert (state(world), images(world)) == (S.CANARY, {"a:2": 1})


def scale(world: World, replicas: int) -> None:
    desired = ServiceSpec()
    desired.CopyFrom(world.tables.services["web"].spec)
    desired.replicated.replicas = replicas
    world.service("web", desired)
    world.settle()
