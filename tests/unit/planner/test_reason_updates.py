"""Waiting tasks are written anew when the reason means something else, and never at each change of a number."""

import pytest

from manager.planner.reason_updates import DEBOUNCE_MS, MAX_PER_SECOND, REFRESH_MS, without_counts
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Replicated, ServiceSpec, TaskTemplate
from tests.fakes.planner_world import World

MIB = 1 << 20


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            "no suitable node: 1 of 3 drained, 2 of 3 lack 1 GiB of memory",
            "no suitable node: 1 of 9 lacks 1 GiB of memory, 8 of 9 drained",
            True,
        ),
        (
            "no suitable node: 1 of 3 drained, 2 of 3 lack 1 GiB of memory",
            "no suitable node: 3 of 3 lack 1 GiB of memory",
            False,
        ),
        ("no suitable node: 1 of 1 lacks 1 CPUs", "no suitable node: 1 of 1 lacks 2 CPUs", False),
        (
            "no suitable node: 1 of 1 violates the service's anti-affinity with itself",
            "no suitable node: 2 of 2 violate the service's anti-affinity with itself",
            True,
        ),
        (
            "no suitable node: 1 of 2 has its 1 task of the service, 1 of 2 down",
            "no suitable node: 1 of 3 down, 2 of 3 have their 1 task of the service",
            True,
        ),
        (
            "no suitable node: 1 of 1 does not meet constraint node.id in h1, h2",
            "no suitable node: 2 of 2 do not meet constraint node.id in h1, h2",
            True,
        ),
        ("no suitable node: the cluster has no nodes", "no suitable node: 1 of 1 down", False),
        ("network a has no free address", "network a has no free address", True),
        ("task 1 failed", "task 2 failed", False),
    ],
)
def test_what_a_reason_means(one: str, other: str, same: bool) -> None:
    assert (without_counts(one) == without_counts(other)) == same


def crowded(replicas: int, nodes: int = 3) -> World:
    """No task fits on any of the nodes."""
    world = World()
    for number in range(nodes):
        world.node(f"h{number:03d}", memory=10 * MIB)
    task = TaskTemplate(reservations=Resources(memory_bytes=20 * MIB))
    world.service("web", ServiceSpec(replicated=Replicated(replicas=replicas), task=task))
    world.plan()
    return world


def written(world: World) -> dict[str, int]:
    """How many records of each kind the next pass writes."""
    kinds_written = [write.kind.name for write in world.plan().writes]
    return {name: kinds_written.count(name) for name in set(kinds_written)}


def test_numbers_alone_are_told_once_a_minute() -> None:
    world = crowded(40)
    for number in range(20):
        world.node(f"more{number}", memory=10 * MIB)
        assert not written(world)
        world.now_ms += 1_000
    world.now_ms += REFRESH_MS
    assert written(world) == {"task": 40, "service status": 1}
    assert "lack 20 MiB of memory" in world.tasks("web")[0].reason
    assert "lack 20 MiB of memory" in world.tables.service_status["web"].problems[0]
    assert not written(world)


def test_another_meaning_is_told_at_once_and_then_again_after_a_while() -> None:
    world = crowded(3)
    world.set_availability("h000", NodeSpec.DRAIN)
    assert written(world) == {"task": 3, "service status": 1}
    for _ in range(10):  # a node that comes and goes
        world.set_state("h001", NodeStatus.DOWN)
        assert written(world) == {"service status": 1}
        world.set_state("h001", NodeStatus.READY)
        assert written(world) == {"service status": 1}
    world.set_state("h001", NodeStatus.DOWN)
    world.plan()
    due = world.planner.next_due_ms()
    assert due == world.now_ms + DEBOUNCE_MS
    world.now_ms = due
    assert written(world) == {"task": 3}
    assert all("1 of 3 down" in task.reason for task in world.tasks("web"))


def test_not_all_of_very_many_at_once() -> None:
    world = crowded(3 * MAX_PER_SECOND)
    world.set_availability("h000", NodeSpec.DRAIN)
    assert written(world) == {"task": MAX_PER_SECOND, "service status": 1}
    assert not written(world)
    rounds = 0
    while not all("1 of 3 drained" in task.reason for task in world.tasks("web")):
        due = world.planner.next_due_ms()
        assert due is not None
        world.now_ms = due
        assert written(world).get("task", 0) <= MAX_PER_SECOND
        rounds += 1
    assert rounds == 2


def test_a_place_is_taken_at_once_whatever_was_told() -> None:
    world = crowded(3)
    world.node("large", memory=100 * MIB)
    world.settle()
    assert len(world.running("web")) == 3
    assert not world.tables.service_status["web"].problems
    assert not world.tables.service_status["web"].problems_at_ms
