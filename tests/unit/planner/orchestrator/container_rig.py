"""Three nodes to place containers on."""

from shoal.api.v1.standalone_pb2 import (
    ContainerRestart,
)
from shoal.networks.published_ports import MESH_NETWORK
from tests.fakes.container_world import ContainerWorld, definition

ALWAYS = ContainerRestart(condition=ContainerRestart.ALWAYS)


def three_nodes() -> ContainerWorld:
    """A cluster with a network."""
    world = ContainerWorld()
    for name in ("h1", "h2", "h3"):
        world.node(name)
    world.network(MESH_NETWORK)
    world.network("front")
    world.settle()
    return world


def started(world: ContainerWorld, name: str = "db", **fields: object) -> str:
    """Its ID."""
    identifier = world.create(name, definition(**fields))
    world.settle()
    world.start(identifier)
    world.settle()
    return identifier
