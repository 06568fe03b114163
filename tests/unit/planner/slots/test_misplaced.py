"""Placement that changes acts: what it does not admit any more moves, a few at a time; the others stay untouched."""

from collections import Counter

import pytest

from manager.planner.incremental_planner import IncrementalPlanner
from manager.services.task_counts import progress
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.api.v1.service_pb2 import (
    Placement,
    Replicated,
    RestartPolicy,
    ServiceSpec,
    TaskTemplate,
    UpdateConfig,
)
from shoal.api.v1.task_pb2 import Task
from tests.fakes.planner_world import World

START_FIRST, STOP_FIRST = UpdateConfig.START_FIRST, UpdateConfig.STOP_FIRST
SSD = "node.labels.disk == ssd"


def spec(
    *,
    replicas: int = 6,
    parallelism: int = 1,
    order: UpdateConfig.Order.ValueType = UpdateConfig.STOP_FIRST,
    **placement: object,
) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate(restart=RestartPolicy(delay_ms=0)))
    made.task.container.image = "a:1"
    made.task.placement.CopyFrom(Placement(**placement))  # type: ignore[arg-type]
    made.update.CopyFrom(UpdateConfig(parallelism=parallelism, order=order))
    return made


def cluster(**labels: str) -> World:
    world = World()
    for name in ("h1", "h2", "h3"):
        world.node(name, labels={"disk": labels.get(name, "ssd")}, platform="linux/amd64")
    return world


def where(world: World) -> Counter[str]:
    return Counter(task.node_id for task in world.running("web"))


def least_running(world: World) -> int:
    """The fewest that run while it settles step by step."""
    least = len(world.running("web"))
    for _ in range(40):
        world.plan()
        world.obey()
        least = min(least, len(world.running("web")))
    return least


@pytest.mark.parametrize("order", [START_FIRST, STOP_FIRST])
def test_a_constraint_moves_those_that_it_excludes_and_no_others(order: "UpdateConfig.Order.ValueType") -> None:
    world = cluster(h3="hdd")
    world.service("web", spec(order=order))
    world.settle()
    assert where(world) == {"h1": 2, "h2": 2, "h3": 2}
    untouched = {task.id for task in world.running("web") if task.node_id != "h3"}
    world.service("web", spec(order=order, constraints=[SSD]))
    least = least_running(world)
    assert where(world) == {"h1": 3, "h2": 3}
    assert untouched < {task.id for task in world.running("web")}
    assert least == (6 if order == START_FIRST else 5), "one at a time"
    assert not world.plan().writes


def test_a_label_that_changes_moves_what_is_there() -> None:
    world = cluster()
    world.service("web", spec(parallelism=2, constraints=[SSD]))
    world.settle()
    world.relabel("h1", disk="hdd")
    assert least_running(world) == 4
    assert where(world) == {"h2": 3, "h3": 3}
    assert {task.reason for task in ended(world)} == {"its node no longer meets the placement"}


def test_fewer_for_each_node_moves_the_newest() -> None:
    world = World()
    world.node("h1")
    world.service("web", spec(replicas=4))
    world.settle()
    for name in ("h2", "h3"):
        world.node(name)
    world.service("web", spec(replicas=4, max_per_node=2))
    assert least_running(world) == 3
    assert where(world)["h1"] == 2
    assert max(where(world).values()) <= 2


def test_what_serves_is_not_given_up_for_what_no_node_can_have() -> None:
    world = cluster()
    world.service("web", spec())
    world.settle()
    before = {task.id for task in world.running("web")}
    world.service("web", spec(constraints=["node.labels.disk == tape"]))
    world.settle()
    service = world.tables.services["web"]
    assert not progress(world.tables, service).converged
    assert {task.id for task in world.running("web")} == before
    (problem,) = world.tables.service_status["web"].problems
    assert "which does not meet constraint node.labels.disk == tape: no suitable node" in problem
    world.relabel("h2", disk="tape")
    world.settle()
    assert where(world) == {"h2": 6}
    assert not world.tables.service_status["web"].problems
    assert progress(world.tables, service).converged


@pytest.mark.parametrize("order", [START_FIRST, STOP_FIRST])
@pytest.mark.parametrize("why", ["constraint", "label", "bound", "platform"])
def test_the_delay_of_updates_is_kept_between_moves(order: "UpdateConfig.Order.ValueType", why: str) -> None:
    world = cluster()
    desired = spec(replicas=6, parallelism=2, order=order, constraints=[SSD])
    desired.update.delay_ms = 60_000
    if why == "bound":
        world.set_availability("h2", NodeSpec.PAUSE)
        world.set_availability("h3", NodeSpec.PAUSE)
    world.service("web", desired)
    world.settle()
    stays = {task.id for task in world.running("web")}
    if why == "constraint":
        desired.task.placement.constraints.append("node.hostname == h3")
    elif why == "platform":
        desired.task.placement.platforms.add(os="linux", architecture="arm64")
        world.node("h3", labels={"disk": "ssd"}, platform="linux/arm64")
    elif why == "bound":
        world.set_availability("h2", NodeSpec.ACTIVE)
        world.set_availability("h3", NodeSpec.ACTIVE)
        desired.task.placement.max_per_node = 2
    if why == "label":
        world.relabel("h1", disk="hdd")
        world.relabel("h2", disk="hdd")
    else:
        world.service("web", desired)
    steps = []
    for _ in range(4):
        _at_this_time(world)
        left = {task.id for task in world.running("web")} & stays
        steps.append(len(stays) - len(left))
        stays = left
        assert len(world.running("web")) == 6
        world.now_ms += 59_000
        _at_this_time(world)
        assert left == {task.id for task in world.running("web")} & left
        world.now_ms += 1_000
    assert steps == [2, 2, 0, 0]


def test_a_drain_does_not_wait_for_the_delay() -> None:
    world = cluster()
    desired = spec(constraints=[SSD])
    desired.update.delay_ms = 60_000
    world.service("web", desired)
    world.settle()
    world.relabel("h1", disk="hdd")
    _at_this_time(world)
    assert where(world)["h1"] == 1
    world.set_availability("h2", NodeSpec.DRAIN)
    _at_this_time(world)
    assert where(world) == {"h1": 1, "h3": 5}


def test_another_leader_keeps_the_delay() -> None:
    world = cluster()
    desired = spec(constraints=[SSD])
    desired.update.delay_ms = 60_000
    world.service("web", desired)
    world.settle()
    world.relabel("h1", disk="hdd")
    _at_this_time(world)
    world.planner = IncrementalPlanner(world.tables)
    _at_this_time(world)
    assert where(world)["h1"] == 1
    assert world.planner.next_due_ms() == world.now_ms + 60_000
    world.now_ms += 60_000
    _at_this_time(world)
    assert where(world)["h1"] == 0


def _at_this_time(world: World) -> None:
    """Plans and agents that obey, and no time passes."""
    for _ in range(12):
        world.plan()
        world.obey()


def ended(world: World) -> list[Task]:
    return [task for task in world.tables.tasks.values() if task.reason]
