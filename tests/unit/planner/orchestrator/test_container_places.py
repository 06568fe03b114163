"""Where containers of one's own are: placed once, beside what they need, and moved only where that was asked for."""

import pytest

from manager.store import kinds
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.standalone_pb2 import (
    NodeImages,
    Reschedule,
)
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.container_world import ContainerWorld, definition
from tests.unit.planner.orchestrator.container_rig import ALWAYS, started, three_nodes


@pytest.fixture
def world() -> ContainerWorld:
    return three_nodes()


def test_the_node_that_holds_the_image_goes_first(world: ContainerWorld) -> None:
    made = definition()
    made.task.container.image = "a:1@sha256:abc"
    world.put(kinds.NODE_IMAGES, "h3", NodeImages(node_id="h3", digests=["sha256:abc"]))
    db = world.create("db", made)
    world.settle()
    assert world.status(db).node_id == "h3"


def test_why_no_node_fits(world: ContainerWorld) -> None:
    made = definition()
    made.task.reservations.memory_bytes = 2 << 30
    world.set_availability("h1", NodeSpec.DRAIN)
    db = world.create("db", made)
    world.settle()
    assert list(world.status(db).problems) == ["no suitable node: 1 of 3 drained, 2 of 3 lack 2 GiB of memory"]
    assert not world.tables.tasks_of(db)


def test_it_is_beside_the_container_that_it_needs(world: ContainerWorld) -> None:
    db = world.create("db", definition(node_id="h2"))
    world.settle()
    app = world.create("app", definition(beside=[db]))
    elsewhere = world.create("other", definition(beside=[db], node_id="h1"))
    world.settle()
    assert world.status(app).node_id == "h2"
    assert list(world.status(elsewhere).problems) == [
        "no suitable node: it has to be on node h1; container db is on node h2"
    ]
    world.set_availability("h2", NodeSpec.DRAIN)
    late = world.create("late", definition(beside=[db]))
    world.settle()
    assert list(world.status(late).problems) == ["no suitable node: node h2, where container db is, is drained"]


def test_it_goes_where_its_volume_is(world: ContainerWorld) -> None:
    made = definition(node_id="h2")
    made.task.container.mounts.add(type=Mount.VOLUME, source="v", target="/data").volume.name = "data"
    world.create("db", made)
    world.settle()
    later = definition()
    later.task.container.mounts.extend(made.task.container.mounts)
    other = world.create("other", later)
    world.settle()
    assert world.status(other).node_id == "h2"


def test_it_stays_on_a_node_that_is_lost(world: ContainerWorld) -> None:
    db = started(world, restart=ALWAYS)
    node = world.status(db).node_id
    world.set_state(node, NodeStatus.DOWN)
    world.now_ms += 48 * 3_600_000
    world.settle()
    task = world.newest(db)
    assert task is not None
    assert (task.node_id, task.desired_state) == (node, TaskState.RUNNING)
    world.stop(db)
    world.settle()
    world.start(db)
    world.settle()
    world.set_state(node, NodeStatus.READY)
    world.settle()
    assert [(task.node_id, task.job_run) for task in world.runs(db)] == [(node, 2)]


def test_one_that_may_be_elsewhere_starts_there_and_its_old_run_is_stopped(world: ContainerWorld) -> None:
    db = started(world, reschedule=Reschedule.ON_NODE_FAILURE)
    node = world.status(db).node_id
    world.set_state(node, NodeStatus.DOWN)
    world.settle()
    other = world.status(db).node_id
    assert other != node
    assert {task.node_id for task in world.live_tasks(db)} == {node, other}
    world.set_state(node, NodeStatus.READY)
    world.settle()
    assert [task.node_id for task in world.live_tasks(db)] == [other]
    assert world.status(db).node_id == other


def test_what_had_ended_is_not_started_elsewhere(world: ContainerWorld) -> None:
    db = started(world, reschedule=Reschedule.ON_NODE_FAILURE)
    world.end(db)
    world.settle()
    node = world.status(db).node_id
    world.set_state(node, NodeStatus.DOWN)
    world.settle()
    world.remove_node(node)
    world.settle()
    assert not world.live_tasks(db)


def test_its_files_are_gone_with_its_node(world: ContainerWorld) -> None:
    db = started(world)
    node = world.status(db).node_id
    world.set_state(node, NodeStatus.DOWN)
    world.remove_node(node)
    world.settle()
    assert list(world.status(db).problems) == [f"node {node} was removed, and the container's files with it"]
    world.start(db)
    world.settle()
    assert not world.live_tasks(db)
    world.remove(db)
    world.settle()
    world.collect()
    world.settle()
    assert not world.tables.containers
    assert not world.tables.revisions


def test_a_drain_moves_nothing(world: ContainerWorld) -> None:
    db = started(world)
    node = world.status(db).node_id
    world.set_availability(node, NodeSpec.DRAIN)
    world.settle()
    world.restart(db)
    world.settle()
    assert [task.node_id for task in world.runs(db)] == [node]


def test_a_service_of_a_higher_priority_stops_no_container(world: ContainerWorld) -> None:
    made = definition(node_id="h1")
    made.task.reservations.memory_bytes = 1 << 30
    db = world.create("db", made)
    world.start(db)
    world.settle()
    for name, priority in (("low", -5), ("high", 5)):
        spec = ServiceSpec(priority=priority)
        spec.task.container.image = "a:1"
        spec.task.reservations.memory_bytes = 1 << 30
        spec.task.placement.constraints.append("node.id == h1")
        spec.replicated.replicas = 1
        world.service(name, spec)
    world.settle()
    assert len(world.runs(db)) == 1
    assert not world.running("high")


def test_a_move_of_which_only_the_task_was_written_is_made_once(world: ContainerWorld) -> None:
    db = started(world, reschedule=Reschedule.ON_NODE_FAILURE)
    node = world.status(db).node_id
    world.set_state(node, NodeStatus.DOWN)
    world.plan(cut=2)
    assert world.status(db).node_id == node
    moved = world.newest(db)
    assert moved is not None
    assert moved.node_id != node
    world.settle()
    assert world.status(db).node_id == moved.node_id
    assert [task.id for task in world.runs(db) if task.node_id != node] == [moved.id]
