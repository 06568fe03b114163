"""Nodes and services of the tests of stages."""

from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import (
    Replicated,
    ServiceSpec,
    TaskTemplate,
)
from tests.fakes.planner_world import World

MIB = 1 << 20


def world(nodes: int = 3) -> World:
    made = World()
    for number in range(1, nodes + 1):
        made.node(f"h{number}")
    return made


def spec(replicas: int = 3, *, image: str = "hello:1", memory: int = 0) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate())
    made.task.container.image = image
    if memory:
        made.task.reservations.CopyFrom(Resources(memory_bytes=memory))
    return made
