"""A slot whose task ends during an update takes one place of its parallelism, also in the pass that restarts it."""

from shoal.api.v1.service_pb2 import Replicated, RestartPolicy, ServiceSpec, TaskTemplate, UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.fakes.planner_world import World

DELAY_MS = 120_000


def spec(image: str, update: UpdateConfig, *, replicas: int = 4, checked: bool = False) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate(), update=update)
    made.task.container.image = image
    made.task.restart.CopyFrom(RestartPolicy(delay_ms=0))
    if checked:
        made.task.container.healthcheck.test.append("true")
    return made


def update_of(world: World) -> UpdateStatus:
    return world.tables.service_status["web"].update


def active(world: World, revision: int) -> list[Task]:
    return [task for task in world.desired("web") if task.revision == revision]


def begun(update: UpdateConfig, *, replicas: int = 4, checked: bool = False) -> World:
    """The first step of an update to revision 2 has just been made."""
    world = World()
    world.node("h1")
    world.service("web", spec("hello:1", update, replicas=replicas, checked=checked))
    world.settle()
    world.service("web", spec("hello:2", update, replicas=replicas, checked=checked))
    while not active(world, 2):
        world.plan()
        for task in world.live("web"):
            if task.desired_state > TaskState.RUNNING:
                world.report(task, TaskState.SHUTDOWN)
    return world


def test_a_slot_that_restarts_takes_one_place_of_the_parallelism() -> None:
    world = begun(UpdateConfig(parallelism=2, delay_ms=DELAY_MS))
    world.obey()
    began_ms = update_of(world).last_step_at_ms
    world.now_ms += 2_000
    world.plan()
    assert update_of(world).available_slots == 2
    world.now_ms = began_ms + DELAY_MS
    failed = active(world, 2)[0]
    world.report(failed, TaskState.FAILED)  # it ran long enough, so the update has not failed in its slot
    world.plan()
    assert [task.slot for task in active(world, 2) if not world.tables.task_status.get(task.id)] == [failed.slot]
    assert len(active(world, 1)) == 1, "the place that is left is used"
    assert update_of(world).available_slots == 1


def test_a_successor_that_failed_is_started_again_beside_the_task_that_serves() -> None:
    world = begun(UpdateConfig(order=UpdateConfig.START_FIRST), replicas=1, checked=True)
    (successor,) = active(world, 2)
    world.report(successor, TaskState.RUNNING, health=TaskStatus.STARTING)
    world.now_ms += DELAY_MS
    world.report(successor, TaskState.FAILED, message="unhealthy")
    world.plan()
    (again,) = active(world, 2)
    assert again.id != successor.id
    assert len(active(world, 1)) == 1
