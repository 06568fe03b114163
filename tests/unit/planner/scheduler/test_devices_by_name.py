"""Devices that tasks reserve by name, of kinds of the Container Device Interface."""

import pytest

from manager.validation.placement_rules import check_generic
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.service_pb2 import Replicated, ServiceSpec, TaskTemplate
from tests.fakes.planner_world import World

KIND = "nvidia.com/gpu"


def spec(replicas: int, *names: str, count: int = 0, priority: int = 0) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate(), priority=priority)
    made.task.container.image = "hello:1"
    made.task.reservations.generic_resources.append(GenericResource(kind=KIND, names=names, count=count))
    return made


def given(world: World, service: str) -> list[list[str]]:
    return sorted(list(each.names) for task in world.running(service) for each in task.generic_resources)


def two_nodes() -> World:
    world = World()
    for node in ("h1", "h2"):
        world.node(node, generic=[GenericResource(kind=KIND, names=["0", "1"])])
    return world


def test_each_node_gives_its_own_device_of_that_name_once() -> None:
    world = two_nodes()
    world.service("web", spec(3, "1"))
    world.settle()
    assert given(world, "web") == [["1"], ["1"]]
    reasons = [task.reason for task in world.desired("web") if not task.node_id]
    assert reasons == ["no suitable node: 2 of 2 lack nvidia.com/gpu=1"]
    world.service("any", spec(3, count=1))
    world.settle()
    assert given(world, "any") == [["0"], ["0"]]


def test_a_name_that_no_node_has_waits() -> None:
    world = two_nodes()
    world.service("web", spec(1, "0", "7"))
    world.settle()
    assert [task.reason for task in world.desired("web")] == [
        "no suitable node: 2 of 2 lack nvidia.com/gpu=0, nvidia.com/gpu=7"
    ]


def test_a_higher_priority_displaces_the_one_that_has_the_named_device() -> None:
    world = World()
    world.node("h1", generic=[GenericResource(kind=KIND, names=["0", "1"])])
    world.service("low", spec(2, count=1))
    world.settle()
    [holder] = [task for task in world.running("low") if task.generic_resources[0].names == ["1"]]
    world.service("high", spec(1, "1", priority=10))
    world.settle()
    assert given(world, "high") == [["1"]]
    assert given(world, "low") == [["0"]]
    assert world.tables.tasks[holder.id].reason.startswith("preempted by service high")


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        (GenericResource(kind="gpu", names=["0"]), "specify a count; the scheduler"),
        (GenericResource(kind=KIND, names=["0"], count=1), "not both"),
        (GenericResource(kind=KIND, names=["all"]), "must name a single device"),
        (GenericResource(kind=KIND, names=["a b"]), "must name a single device"),
        (GenericResource(kind=KIND, names=["0", "0"]), "twice"),
        (GenericResource(kind="nvidia/gpu/x", count=1), "must be a resource kind"),
    ],
)
def test_what_cannot_be_reserved_is_refused(resource: GenericResource, said: str) -> None:
    assert any(said in fault.message for fault in check_generic("r", [resource]))
    assert not list(check_generic("r", [GenericResource(kind=KIND, names=["0"]), GenericResource(kind="a", count=1)]))
