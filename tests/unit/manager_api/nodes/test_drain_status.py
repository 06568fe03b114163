"""A drain that waits says for what: at the node, at the task, and as an event."""

import re

from manager.events.event_builder import events_of, observe
from manager.nodes.drain_status import drain_wait_reason
from manager.nodes.node_warnings import NodeWarnings
from manager.planner.spec.problem_texts import stays_on_node
from manager.store import kinds
from manager.store.changes import Change
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.node_pb2 import Node, NodeSpec
from shoal.api.v1.service_pb2 import Replicated, RestartPolicy, ServiceSpec, ServiceStatus, TaskTemplate
from tests.fakes.container_world import ContainerWorld
from tests.fakes.planner_world import World

WHY = "volume data is there; move it with `shoal volume move`"


def drained() -> World:
    world = World()
    for name in ("h1", "h2"):
        world.node(name)
    spec = ServiceSpec(replicated=Replicated(replicas=1), task=TaskTemplate(restart=RestartPolicy(delay_ms=0)))
    spec.task.container.image = "db:1"
    use = VolumeOptions(name="data")
    spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v1", target="/data", volume=use))
    world.service("db", spec)
    world.settle()
    world.set_availability(world.running("db")[0].node_id, NodeSpec.DRAIN)
    world.settle()
    return world


def test_the_node_and_the_task_tell_it_and_when_it_ends() -> None:
    world = drained()
    (task,) = world.running("db")
    assert drain_wait_reason(world.tables, task) == WHY
    (line,) = NodeWarnings(world.tables).warnings_for(task.node_id)
    assert line.startswith(
        f"drain is waiting for db.1 ({WHY}); to stop them after a given time, set `--drain-deadline`"
    )
    node = Node()
    node.CopyFrom(world.tables.nodes[task.node_id])
    node.spec.drain_deadline_ms = world.now_ms + 1_000
    world.put(kinds.NODE, task.node_id, node)
    (line,) = NodeWarnings(world.tables).warnings_for(task.node_id)
    assert re.search(r"; remaining tasks are stopped at 2027-01-15T08:\d\d:\d\dZ$", line)
    world.now_ms += 1_000
    world.settle()
    assert not world.running("db"), "the deadline holds"
    assert not [*NodeWarnings(world.tables).warnings_for(task.node_id)]


def test_what_is_not_drained_waits_for_nothing() -> None:
    world = drained()
    (task,) = world.running("db")
    world.set_availability(task.node_id, NodeSpec.ACTIVE)
    world.settle()
    assert drain_wait_reason(world.tables, world.running("db")[0]) == ""
    assert not [*NodeWarnings(world.tables).warnings_for(task.node_id)]


def test_other_problems_of_the_service_are_not_what_the_drain_waits_for() -> None:
    world = drained()
    (task,) = world.running("db")
    shortage, without_node = "network front has no free address: all 5 are in use", "no suitable node: 2 of 2 down"
    of_others = stays_on_node(task.slot + 1, "h1", "a"), stays_on_node(task.slot + 1, "h2", "a")
    own = stays_on_node(task.slot, "h1", "b"), stays_on_node(task.slot, "h2", "b")
    for problems, why in (
        ([shortage, "no network front"], ""),
        ([shortage, without_node], without_node),
        ([without_node, *of_others], "a"),
        ([without_node, *of_others, *own], "b"),
    ):
        world.put(kinds.SERVICE_STATUS, "db", ServiceStatus(service_id="db", problems=problems))
        assert drain_wait_reason(world.tables, task) == why


def test_it_is_an_event_once() -> None:
    world = drained()
    status = world.tables.service_status["db"]
    change = Change(kinds.SERVICE_STATUS, "db", ServiceStatus(service_id="db"), status)  # type: ignore[arg-type]
    seen = observe(change, world.tables, world.now_ms)
    assert seen is not None
    (event,) = events_of(seen, world.tables)
    assert (event.action, event.name) == ("waiting", "db")
    assert event.message.endswith(f"which is drained: {WHY}")
    same = Change(kinds.SERVICE_STATUS, "db", status, status)  # type: ignore[arg-type]
    again = observe(same, world.tables, world.now_ms)
    assert again is None or not [*events_of(again, world.tables)]


def test_containers_that_no_drain_moves_are_named() -> None:
    world = ContainerWorld()
    world.node("h1")
    for name in ("db", "web"):
        world.create(name)
    world.settle()
    assert not list(NodeWarnings(world.tables).warnings_for("h1"))
    world.set_availability("h1", NodeSpec.DRAIN)
    world.settle()
    assert list(NodeWarnings(world.tables).warnings_for("h1")) == ["2 containers stay on the drained node: db, web"]
