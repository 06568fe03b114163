"""Who waits for data on a node is told at the node, and as an event, once."""

from manager.events.event_builder import events_of, observe
from manager.nodes.node_warnings import NodeWarnings
from manager.store import kinds
from manager.store.changes import Change
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec, ServiceStatus
from shoal.api.v1.volume_pb2 import Volume
from tests.fakes.planner_world import World


def lost_home() -> tuple[World, str]:
    """A database that waits for its node, and the node."""
    world = World()
    for name in ("h1", "h2"):
        world.node(name)
    volume = Volume()
    volume.meta.id, volume.spec.name = "v1", "data"
    world.put(kinds.VOLUME, "v1", volume)
    spec = ServiceSpec()
    spec.replicated.replicas = 1
    spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v1", volume=VolumeOptions(name="data")))
    world.service("db", spec)
    world.settle()
    home = world.running("db")[0].node_id
    world.set_state(home, NodeStatus.DOWN)
    world.settle()
    return world, home


def test_the_node_tells_who_waits_for_it() -> None:
    world, home = lost_home()
    (line,) = NodeWarnings(world.tables).warnings_for(home)
    assert line.startswith("tasks are waiting for volume data on this node: db.1 (volume data, since 20")
    other = {"h1": "h2", "h2": "h1"}[home]
    assert not [*NodeWarnings(world.tables).warnings_for(other)]
    world.set_state(home, NodeStatus.READY)
    world.settle()
    assert not [*NodeWarnings(world.tables).warnings_for(home)]


def test_it_is_an_event() -> None:
    world, home = lost_home()
    status = world.tables.service_status["db"]
    change = Change(kinds.SERVICE_STATUS, "db", ServiceStatus(service_id="db"), status)  # type: ignore[arg-type]
    seen = observe(change, world.tables, world.now_ms)
    assert seen is not None
    (event,) = events_of(seen, world.tables)
    assert (event.action, event.name) == ("waiting", "db")
    assert f"for volume data on node {home}, which is down" in event.message
