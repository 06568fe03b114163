"""Services that wait for others: what holds them back, what releases them, and that it holds them back only once."""

import pytest

from shoal.api.v1.service_pb2 import Dependency, RestartPolicy, ServiceSpec
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from tests.fakes.planner_world import World


def spec_of(
    *, image: str = "hello:1", replicas: int = 1, **depends_on: "Dependency.Condition.ValueType"
) -> ServiceSpec:
    spec = ServiceSpec()
    spec.task.container.image = image
    spec.replicated.replicas = replicas
    for name, condition in depends_on.items():
        spec.depends_on.add(service=name, condition=condition)
    return spec


def world_of(**services: ServiceSpec) -> World:
    world = World()
    world.node("h1")
    world.node("h2")
    for name, spec in services.items():
        world.service(name, spec)
    return world


def make_healthy(world: World, service: str) -> None:
    from manager.store import kinds

    for task in world.desired(service):
        status = TaskStatus()
        status.CopyFrom(world.tables.task_status[task.id])
        status.health = TaskStatus.HEALTHY
        world.put(kinds.TASK_STATUS, task.id, status)


def problems(world: World, service: str) -> list[str]:
    return list(world.tables.service_status[service].problems)


def test_waits_until_the_other_has_started_and_then_never_again() -> None:
    world = world_of(web=spec_of(db=Dependency.STARTED), db=spec_of(replicas=2))
    world.plan()
    assert not world.tasks("web")
    assert problems(world, "web") == ["waiting for db to start"]
    world.settle()
    assert len(world.running("web")) == 1
    assert problems(world, "web") == []
    assert world.tables.service_status["web"].unblocked_revision == 1
    for task in world.running("db"):
        world.report(task, TaskState.FAILED)
    web = world.running("web")[0]
    world.report(web, TaskState.FAILED)
    world.settle()
    assert len(world.running("web")) == 1


def test_healthy_means_healthy() -> None:
    world = world_of(db=spec_of(), web=spec_of(db=Dependency.HEALTHY))
    world.settle()
    assert len(world.running("db")) == 1
    assert not world.tasks("web")
    assert problems(world, "web") == ["waiting for db to be healthy"]
    make_healthy(world, "db")
    world.settle()
    assert len(world.running("web")) == 1


def test_completed_means_ended_well() -> None:
    job = spec_of(replicas=2)
    job.task.restart.condition = RestartPolicy.ON_FAILURE
    world = world_of(migrate=job, web=spec_of(migrate=Dependency.COMPLETED))
    world.settle()
    assert problems(world, "web") == ["waiting for migrate to complete"]
    first, second = world.running("migrate")
    world.report(first, TaskState.COMPLETE)
    world.settle()
    assert not world.tasks("web")
    world.report(second, TaskState.COMPLETE)
    world.settle()
    assert len(world.running("web")) == 1


def test_a_new_template_waits_for_the_newest_one_of_the_other_and_the_old_tasks_run_on() -> None:
    job = spec_of()
    job.task.restart.condition = RestartPolicy.NONE
    world = world_of(migrate=job, web=spec_of(migrate=Dependency.COMPLETED))
    world.settle()
    world.report(world.running("migrate")[0], TaskState.COMPLETE)
    world.settle()
    job.task.container.image = "hello:2"
    world.service("migrate", job)
    world.service("web", spec_of(image="hello:2", migrate=Dependency.COMPLETED, replicas=2))
    world.settle()
    assert {task.revision for task in world.running("web")} == {1}
    assert len(world.running("web")) == 2
    assert problems(world, "web") == ["waiting for migrate to complete"]
    world.report(world.running("migrate")[0], TaskState.COMPLETE)
    world.settle()
    assert {task.revision for task in world.running("web")} == {2}


@pytest.mark.parametrize("optional", [False, True])
def test_a_service_that_is_not_there(optional: bool) -> None:
    spec = spec_of(db=Dependency.STARTED)
    spec.depends_on[0].optional = optional
    world = world_of(web=spec)
    world.settle()
    assert len(world.running("web")) == optional
    assert problems(world, "web") == ([] if optional else ["waiting for db, which does not exist"])


def test_chains_and_global_services() -> None:
    everywhere = spec_of(b=Dependency.STARTED)
    getattr(everywhere, "global").SetInParent()
    world = world_of(c=spec_of(a=Dependency.STARTED), b=spec_of(), a=everywhere)
    world.plan()
    assert not world.tasks("a")
    world.settle()
    assert world.by_node("a") == {"h1": 1, "h2": 1}
    assert len(world.running("c")) == 1
