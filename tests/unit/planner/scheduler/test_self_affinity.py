"""A service that is near itself, or away from itself: spread one by one, or packed."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import (
    Affinity,
    Placement,
    Replicated,
    ReplicatedJob,
    ServiceSpec,
    TaskTemplate,
    UpdateConfig,
)
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.planner_world import World

MIB = 1 << 20
ZONES = {"h1": "a", "h2": "a", "h3": "b", "h4": "b", "h5": "c"}


def cluster(memory: int = 1000 * MIB) -> World:
    world = World()
    for name, zone in ZONES.items():
        world.node(name, memory=memory, labels={"zone": zone})
    return world


def service(replicas: int, *preferences: Affinity, memory: int = 0, image: str = "a:1", **more: object) -> ServiceSpec:
    task = TaskTemplate(placement=Placement(affinities=preferences), reservations=Resources(memory_bytes=memory))
    task.container.image = image
    return ServiceSpec(task=task, replicated=Replicated(replicas=replicas), **more)  # type: ignore[arg-type]


def away(over: str = "", weight: int = 0) -> Affinity:
    return Affinity(service="web", anti=True, topology_key=over, weight=weight)


def near(over: str = "", weight: int = 0) -> Affinity:
    return Affinity(service="web", topology_key=over, weight=weight)


def zones(world: World) -> Counter[str]:
    return Counter(ZONES[task.node_id] for task in world.desired("web") if task.node_id)


def reasons(world: World) -> set[str]:
    return {task.reason for task in world.desired("web") if not task.node_id}


def test_away_from_itself_is_one_on_each_node() -> None:
    world = cluster()
    world.service("web", service(7, away()))
    world.settle()
    assert Counter(task.node_id for task in world.running("web")) == dict.fromkeys(ZONES, 1)
    assert reasons(world) == {"no suitable node: 5 of 5 violate the service's anti-affinity with itself"}


def test_away_from_itself_over_a_label_is_one_by_each_value() -> None:
    world = cluster()
    world.service("web", service(4, away("node.labels.zone")))
    world.settle()
    assert zones(world) == {"a": 1, "b": 1, "c": 1}
    assert reasons(world) == {
        "no suitable node: 5 of 5 violate the service's anti-affinity with itself over node.labels.zone"
    }


def test_nodes_without_the_label_are_near_nobody() -> None:
    world = cluster()
    for name in ("h6", "h7"):
        world.node(name)
    world.service("web", service(5, away("node.labels.zone")))
    world.settle()
    assert not reasons(world)


def test_a_node_that_is_down_keeps_nobody_away() -> None:
    world = cluster()
    world.service("web", service(3, away("node.labels.zone")))
    world.settle()
    lost = next(task.node_id for task in world.running("web") if ZONES[task.node_id] == "a")
    world.set_state(lost, NodeStatus.DOWN)
    world.settle()
    assert {ZONES[task.node_id] for task in world.running("web")} == {"a", "b", "c"}


def test_near_itself_is_packed_on_one_node() -> None:
    world = cluster()
    world.service("web", service(4, near(), memory=100 * MIB))
    world.settle()
    assert len({task.node_id for task in world.running("web")}) == 1
    assert len(world.running("web")) == 4


def test_near_itself_what_does_not_fit_waits() -> None:
    world = cluster()
    world.service("web", service(4, near(), memory=400 * MIB))
    world.settle()
    assert len({task.node_id for task in world.running("web")}) == 1
    assert len(world.running("web")) == 2
    reported = "no suitable node: 1 of 5 lacks 400 MiB of memory, 4 of 5 do not meet the service's affinity with itself"
    assert reasons(world) == {reported}


def test_near_itself_over_a_label() -> None:
    world = cluster()
    world.service("web", service(5, near("node.labels.zone"), memory=300 * MIB))
    world.settle()
    assert len(zones(world)) == 1
    assert not reasons(world) or zones(world) == {"c": 3}


@pytest.mark.parametrize("how", ["down", "drain"])
def test_near_itself_moves_as_a_whole_when_its_node_is_lost(how: str) -> None:
    world = cluster()
    world.service("web", service(3, near(), update=UpdateConfig(parallelism=1)))
    world.settle()
    home = world.running("web")[0].node_id
    if how == "down":
        world.set_state(home, NodeStatus.DOWN)
    else:
        world.set_availability(home, NodeSpec.DRAIN)
    world.settle()
    homes = {task.node_id for task in world.running("web")}
    assert len(homes) == 1
    assert home not in homes
    assert len(world.running("web")) == 3


@pytest.mark.parametrize("order", [UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST])
@pytest.mark.parametrize("preference", [away(), near(), away("node.labels.zone")])
def test_an_update_keeps_to_it(order: UpdateConfig.Order.ValueType, preference: Affinity) -> None:
    world = cluster()
    update = UpdateConfig(order=order, parallelism=2, monitor_ms=0)
    world.service("web", service(2, preference, update=update))
    world.settle()
    world.service("web", service(2, preference, image="a:2", update=update))
    world.settle()
    running = world.running("web")
    assert {task.revision for task in running} == {2}
    assert len({task.node_id for task in running}) == (2 if preference.anti else 1)


def test_rather_apart_is_spread_and_rather_together_is_packed_as_far_as_there_is_room() -> None:
    world = cluster()
    world.service("web", service(6, away("node.labels.zone", weight=50)))
    world.settle()
    assert zones(world) == {"a": 2, "b": 2, "c": 2}
    packed = cluster()
    packed.service("web", service(4, near(weight=50), memory=400 * MIB))
    packed.settle()
    assert sorted(packed.by_node("web").values()) == [2, 2]
    together = cluster()
    together.service("web", service(5, near("node.labels.zone", weight=50), memory=400 * MIB))
    together.settle()
    assert sorted(zones(together).values()) in ([1, 4], [2, 3])
    assert len(together.running("web")) == 5


def test_jobs_keep_apart_too() -> None:
    world = cluster()
    spec = service(0, away())
    spec.replicated_job.CopyFrom(ReplicatedJob(total_completions=8))
    world.service("web", spec)
    world.plan()
    world.plan()
    placed = [task.node_id for task in world.tasks("web") if task.node_id]
    assert len(placed) == len(set(placed)) == 5
    for task in world.tasks("web"):
        if task.node_id:
            world.report(task, TaskState.COMPLETE)
    world.plan()
    assert sum(world.by_node("web").values()) == 3


def test_a_rebalancing_does_not_pull_apart_what_is_to_be_together() -> None:
    world = cluster()
    world.service("web", service(4, near(weight=10)))
    world.settle()
    before = world.by_node("web")
    world.now_ms += 1
    world.rebalance("web")
    world.now_ms += 1
    world.settle()
    assert world.by_node("web") == before


RULES = st.builds(
    Affinity,
    service=st.just("web"),
    anti=st.booleans(),
    weight=st.sampled_from([0, 0, 20, 100]),
    topology_key=st.sampled_from(["", "node.labels.zone"]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(RULES, max_size=2), st.integers(0, 9), st.sampled_from([0, 100, 400]))
def test_whatever_is_wished_is_kept(preferences: list[Affinity], replicas: int, memory: int) -> None:
    world = cluster()
    world.service("web", service(replicas, *preferences, memory=memory * MIB))
    world.settle()
    tasks = world.running("web")
    for preference in preferences:
        if preference.weight:
            continue
        values = [ZONES[task.node_id] if preference.topology_key else task.node_id for task in tasks]
        assert len(set(values)) == (len(values) if preference.anti else min(1, len(values)))
    assert len(tasks) + len([task for task in world.desired("web") if task.reason]) == replicas
