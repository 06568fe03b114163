"""The policy of rollbacks: each of its fields is in force while one is, and those of updates are not."""

import pytest

from shoal.api.v1.service_pb2 import Replicated, ServiceSpec, TaskTemplate, UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.planner_world import World

START, STOP = UpdateConfig.START_FIRST, UpdateConfig.STOP_FIRST
FIRST, BAD = "hello:1", "hello:2"


def spec(image: str, update: UpdateConfig, rollback: UpdateConfig | None, replicas: int = 4) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate(), update=update, rollback=rollback)
    made.task.container.image = image
    return made


def begun(update: UpdateConfig, rollback: UpdateConfig | None, *, by_user: bool) -> World:
    """A rollback has just begun: the user's own after an update, or the planner's own since a new task has failed."""
    world = World()
    world.node("h1")
    update.monitor_ms = 0
    world.service("web", spec(FIRST, update, rollback))
    world.settle()
    world.service("web", spec(BAD, update, rollback))
    if by_user:
        world.settle()
        world.service("web", spec(FIRST, update, rollback), rollback=True)
        return world
    for _ in range(4):
        world.plan()
        for task in world.desired("web"):
            failing = world.tables.revisions[f"web/{task.revision}"].spec.task.container.image == BAD
            state = TaskState.FAILED if failing else TaskState.RUNNING
            if world.state(task) < TaskState.RUNNING:
                world.report(task, state, message="exit 1")
        for task in world.live("web"):
            if task.desired_state > TaskState.RUNNING:
                world.report(task, TaskState.SHUTDOWN)
    assert update_of(world).state == UpdateStatus.ROLLING_BACK
    return world


def update_of(world: World) -> UpdateStatus:
    return world.tables.service_status["web"].update


def least_running(world: World) -> int:
    """The fewest tasks that ran until all was at rest."""
    least = 100
    for _ in range(40):
        world.plan()
        least = min(least, len(world.running("web")))
        world.obey()
        world.now_ms += 1_000
    assert update_of(world).state in (UpdateStatus.COMPLETED, UpdateStatus.ROLLED_BACK)
    return least


@pytest.mark.parametrize("update", [START, STOP])
@pytest.mark.parametrize("rollback", [START, STOP])
def test_the_users_rollback_goes_in_its_own_order(
    update: UpdateConfig.Order.ValueType, rollback: UpdateConfig.Order.ValueType
) -> None:
    world = begun(UpdateConfig(order=update), UpdateConfig(order=rollback, monitor_ms=0), by_user=True)
    assert least_running(world) == (4 if rollback == START else 3)


def test_without_a_policy_of_its_own_it_goes_in_that_of_updates() -> None:
    assert least_running(begun(UpdateConfig(order=START), None, by_user=True)) == 4


@pytest.mark.parametrize("rollback", [START, STOP])
def test_the_planners_own_rollback_goes_in_its_own_order(rollback: UpdateConfig.Order.ValueType) -> None:
    # Two are replaced with a ratio that tolerates the first: so that some run the bad template when it turns back.
    update = UpdateConfig(order=START if rollback == STOP else STOP, parallelism=2, max_failure_ratio=0.4)
    world = World()
    world.node("h1")
    policy = UpdateConfig(order=rollback, monitor_ms=0)
    update.monitor_ms = 60_000
    world.service("web", spec(FIRST, update, policy))
    world.settle()
    world.service("web", spec(BAD, update, policy))
    for _ in range(4):
        world.plan()
        world.obey()
    fresh = [task for task in world.running("web") if task.revision == 2]
    assert len(fresh) == 2
    update.max_failure_ratio = 0.0
    world.service("web", spec(BAD, update, policy))
    world.now_ms += 1_000
    world.report(fresh[0], TaskState.FAILED, message="exit 1")
    world.plan()
    before = len(world.running("web"))
    least = least_running(world)
    assert update_of(world).state == UpdateStatus.ROLLED_BACK
    assert least == before if rollback == START else least < before


def test_it_has_its_own_parallelism_and_delay() -> None:
    policy = UpdateConfig(parallelism=2, delay_ms=5_000, monitor_ms=0)
    world = begun(UpdateConfig(parallelism=1), policy, by_user=True)
    world.plan()
    assert sum(task.desired_state > TaskState.RUNNING for task in world.live("web")) == 2
    world.obey()
    world.plan()
    world.obey()
    began = world.now_ms
    world.plan()
    assert len(world.running("web")) == 4
    assert world.planner.next_due_ms() == began + 5_000


def test_it_has_its_own_monitor() -> None:
    world = begun(UpdateConfig(), UpdateConfig(monitor_ms=30_000), by_user=True)
    for _ in range(3):
        world.plan()
        world.obey()
    assert world.planner.next_due_ms() == world.now_ms + 30_000


def test_it_has_its_own_ratio_of_failures() -> None:
    """Half of the slots may fail on the way back, though not one might on the way there."""
    world = begun(UpdateConfig(), UpdateConfig(max_failure_ratio=0.5, monitor_ms=0), by_user=True)
    world.plan()
    world.obey()
    world.plan()
    [fresh] = [task for task in world.desired("web") if task.revision == 3]
    world.report(fresh, TaskState.FAILED, message="exit 1")
    world.plan()
    assert update_of(world).state == UpdateStatus.UPDATING


@pytest.mark.parametrize("rollback", [None, UpdateConfig(monitor_ms=0)])
def test_a_rollback_of_the_users_that_fails_pauses_and_is_not_rolled_back(rollback: UpdateConfig | None) -> None:
    world = begun(UpdateConfig(), rollback, by_user=True)
    world.plan()
    world.obey()
    world.plan()
    [fresh] = [task for task in world.desired("web") if task.revision == 3]
    world.report(fresh, TaskState.FAILED, message="exit 1")
    world.plan()
    assert update_of(world).state == UpdateStatus.PAUSED
    assert update_of(world).message == "rollback failed: 1 of 4 tasks failed: exit 1"


def test_a_rollback_with_continue_goes_on_over_failures() -> None:
    policy = UpdateConfig(failure_action=UpdateConfig.CONTINUE, monitor_ms=0)
    world = begun(UpdateConfig(), policy, by_user=True)
    world.plan()
    world.obey()
    world.plan()
    [fresh] = [task for task in world.desired("web") if task.revision == 3]
    world.report(fresh, TaskState.FAILED, message="exit 1")
    world.settle()
    assert update_of(world).state == UpdateStatus.COMPLETED
    assert len(world.running("web")) == 4


def test_a_rollback_returns_to_the_company_that_the_earlier_template_asked_for() -> None:
    world = World()
    world.node("h1")
    world.service("web", spec(FIRST, UpdateConfig(), None, replicas=1))
    world.settle()
    lonely = spec(BAD, UpdateConfig(), None, replicas=1)
    lonely.task.placement.affinities.add(service="nobody")
    world.service("web", lonely)
    world.settle()  # no node is near, so the update makes no progress
    assert update_of(world).state == UpdateStatus.ROLLED_BACK
    assert len(world.running("web")) == 1


def test_others_keep_away_from_it_by_the_template_in_force() -> None:
    world = World()
    world.node("h1")
    world.service("web", spec(FIRST, UpdateConfig(), None, replicas=1))
    world.service("db", spec(FIRST, UpdateConfig(), None, replicas=0))
    world.settle()
    anti_affine = spec(BAD, UpdateConfig(), None, replicas=1)
    anti_affine.task.placement.affinities.add(service="db", anti=True)
    anti_affine.task.placement.affinities.add(service="nobody")
    world.service("web", anti_affine)
    world.settle()
    world.service("db", spec(FIRST, UpdateConfig(), None, replicas=1))
    world.settle()
    assert len(world.running("web")) == len(world.running("db")) == 1
