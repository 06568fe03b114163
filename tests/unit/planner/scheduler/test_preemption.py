"""Room that is made for a higher priority: of everything that a task may wait for, and only where it is of use."""

import pytest

from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.service_pb2 import Global, PublishedPort, Replicated, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.fakes.planner_world import World

NAMED = GenericResource(kind="gpu", names=["GPU-1", "GPU-2"])
COUNTED = GenericResource(kind="gpu", count=2)


def spec(replicas: int, *, gpus: int = 0, priority: int = 0, on_each: bool = False) -> ServiceSpec:
    made = ServiceSpec(task=TaskTemplate(), priority=priority)
    if on_each:
        getattr(made, "global").CopyFrom(Global())
    else:
        made.replicated.CopyFrom(Replicated(replicas=replicas))
    made.task.container.image = "hello:1"
    made.task.restart.delay_ms = 0
    if gpus:
        made.task.reservations.generic_resources.append(GenericResource(kind="gpu", count=gpus))
    return made


def published(made: ServiceSpec, address: str = "") -> ServiceSpec:
    made.endpoint.ports.add(target=80, published=8080, mode=PublishedPort.HOST, host_address=address)
    return made


def preempted(cluster: World, service: str) -> list[Task]:
    return [task for task in cluster.tasks(service) if task.reason.startswith("preempted by")]


@pytest.mark.parametrize("stock", [NAMED, COUNTED])
@pytest.mark.parametrize("on_each", [False, True])
def test_devices_that_come_free_one_by_one_are_held_for_who_waits_for_several(
    stock: GenericResource, on_each: bool
) -> None:
    cluster = World()
    cluster.node("h1", generic=[stock])
    cluster.service("low", spec(2, gpus=1))
    cluster.settle()
    cluster.service("high", spec(1, gpus=2, priority=10, on_each=on_each))
    cluster.plan()
    victims = preempted(cluster, "low")
    assert len(victims) == 2
    for victim in victims:  # they end at different times
        cluster.report(victim, TaskState.SHUTDOWN)
        cluster.plan()
        cluster.plan()
    cluster.settle()
    assert {task.id for task in preempted(cluster, "low")} <= {task.id for task in victims}
    assert (len(cluster.running("high")), len(cluster.running("low"))) == (1, 0)
    [winner] = cluster.running("high")
    assert sum(len(each.names) or each.count for each in winner.generic_resources) == 2


def test_a_lesser_wish_takes_what_is_left_beside_the_one_that_waits() -> None:
    cluster = World()
    cluster.node("h1", generic=[GenericResource(kind="gpu", names=["GPU-1", "GPU-2", "GPU-3"])])
    cluster.service("low", spec(2, gpus=1))
    cluster.settle()
    cluster.service("high", spec(1, gpus=2, priority=10))
    cluster.plan()
    [victim] = preempted(cluster, "low")
    cluster.settle()
    assert len(cluster.running("high")) == len(cluster.running("low")) == 1
    assert cluster.state(victim) == TaskState.SHUTDOWN


def test_nothing_is_displaced_where_a_program_of_the_host_has_the_port() -> None:
    cluster = World()
    cluster.node("h1")
    cluster.service("low", published(spec(1)))
    cluster.settle()
    cluster.listen("h1", 8080, "nginx")
    cluster.service("high", published(spec(1, priority=10)))
    cluster.settle()
    assert preempted(cluster, "low") == []
    assert len(cluster.running("low")) == 1
    reason = "no suitable node: 1 of 1 has port 8080 in use"
    assert [task.reason for task in cluster.tasks("high")] == [reason]


def test_nothing_is_displaced_where_the_port_stays_taken_at_another_address() -> None:
    cluster = World()
    cluster.node("h1")
    equal = published(spec(1, priority=10), "127.0.0.1")
    cluster.service("equal", equal)
    cluster.service("low", published(spec(1), "192.0.2.1"))
    cluster.settle()
    cluster.service("high", published(spec(1, priority=10), "0.0.0.0"))  # a value, not a socket
    cluster.settle()
    assert preempted(cluster, "low") == []
    assert len(cluster.running("equal")) == len(cluster.running("low")) == 1
    assert [task.reason for task in cluster.tasks("high")] == ["no suitable node: 1 of 1 has port 8080 in use"]


def test_room_is_made_in_a_range_of_ports() -> None:
    def ranged(made: ServiceSpec) -> ServiceSpec:
        made.endpoint.ports.add(target=80, published_first=8080, published_last=8081, mode=PublishedPort.HOST)
        return made

    cluster = World()
    cluster.node("h1")
    cluster.service("low", ranged(spec(2)))
    cluster.settle()
    cluster.service("high", ranged(spec(1, priority=10)))
    cluster.settle()
    assert (len(cluster.running("high")), len(cluster.running("low"))) == (1, 1)
