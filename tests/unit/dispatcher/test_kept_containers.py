"""Which containers a node keeps, and when its containers' names resolve."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.dispatcher.assignments.assignment_index import AssignmentIndex
from manager.dispatcher.assignments.kept_containers import kept_nodes
from manager.store.changes import Change
from manager.store.kinds import CONTAINER, EPOCH, SERVICE_STATUS, TASK, TASK_STATUS
from shoal.api.v1.cluster_pb2 import Epoch
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.service_pb2 import PublishedPort, ServiceStatus
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskState, TaskStatus
from shoal.networks.published_ports import MESH_NETWORK
from tests.unit.dispatcher.dispatcher_world import World

NODES, CONTAINERS, TASKS = ("n1", "n2"), ("c", "d"), ("t1", "t2")
Step = Callable[[World], Change]


def container(world: World, identifier: str = "c", *, removing: bool = False) -> Change:
    return world.put(CONTAINER, identifier, Container(meta=Meta(id=identifier), name=identifier, removing=removing))


def task(world: World, node: str, identifier: str = "t1", owner: str = "c", **fields: object) -> Change:
    record = Task(id=identifier, service_id=owner, container_id=owner, revision=1, node_id=node, **fields)  # type: ignore[arg-type]  # the caller's
    record.state = TaskState.ASSIGNED
    record.desired_state = record.desired_state or TaskState.RUNNING
    return world.put(TASK, identifier, record)


def home(world: World, node: str, identifier: str = "c") -> Change:
    return world.put(SERVICE_STATUS, identifier, ServiceStatus(service_id=identifier, node_id=node))


def test_it_is_kept_from_its_placement_until_its_record_is_deleted() -> None:
    world = World()
    index = AssignmentIndex(world.tables)
    assert index.update([container(world)]) == {}
    assert index.update([task(world, "n1")])["n1"] == {("task", "t1"), ("container", "c"), ("revision", "c/1")}
    assert index.assignments("n1").containers == {"c"}
    index.update([home(world, "n1"), world.put(TASK, "t1", None)])
    assert index.assignments("n1").containers == {"c"}
    index.update([container(world, removing=True)])
    assert index.assignments("n1").containers == {"c"}
    assert index.update([world.put(CONTAINER, "c", None)]) == {"n1": {("container", "c")}}
    message = index.changes("n1", {("container", "c")}).assignments
    assert (list(message.containers), list(message.removed_containers)) == ([], ["c"])


def test_a_snapshot_names_the_epoch() -> None:
    world = World()
    world.put(EPOCH, "e1", Epoch(id="e1"))
    message = AssignmentIndex(world.tables).changes("n1", None).assignments
    assert (message.epoch, message.lists_containers) == ("e1", True)


def test_a_node_that_it_has_left_keeps_it_until_its_run_there_has_ended() -> None:
    world = World()
    container(world)
    home(world, "n2")
    task(world, "n1", "t1", desired_state=TaskState.REMOVE)
    task(world, "n2", "t2")
    assert kept_nodes(world.tables, "c") == {"n1", "n2"}
    world.put(TASK, "t1", None)
    assert kept_nodes(world.tables, "c") == {"n2"}


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(lambda each: lambda world: container(world, each), st.sampled_from(CONTAINERS)),
    st.builds(lambda each: lambda world: world.put(CONTAINER, each, None), st.sampled_from(CONTAINERS)),
    st.builds(lambda each: lambda world: world.put(TASK, each, None), st.sampled_from(TASKS)),
    st.builds(
        lambda node, each, owner: lambda world: task(world, node, each, owner),
        st.sampled_from(NODES),
        st.sampled_from(TASKS),
        st.sampled_from(CONTAINERS),
    ),
    st.builds(
        lambda node, each: lambda world: home(world, node, each), st.sampled_from(NODES), st.sampled_from(CONTAINERS)
    ),
)


@given(st.lists(st.lists(STEPS, max_size=4), max_size=12))
def test_increments_lead_where_a_snapshot_leads(bursts: list[list[Step]]) -> None:
    world = World()
    index = AssignmentIndex(world.tables)
    known: dict[str, set[str]] = {node: set() for node in NODES}
    for burst in bursts:
        for node, records in index.update([step(world) for step in burst]).items():
            _apply(known[node], index.changes(node, records).assignments)
        for node in NODES:
            assert known[node] == set(AssignmentIndex(world.tables).changes(node, None).assignments.containers)


def _apply(known: set[str], message: Assignments) -> None:
    known |= set(message.containers)
    known -= set(message.removed_containers)


@pytest.mark.parametrize("health", TaskStatus.Health.values())
def test_its_names_resolve_while_it_runs(health: TaskStatus.Health.ValueType) -> None:
    world = World()
    world.node("n1")
    world.network("a")
    container(world)
    task(world, "n1", addresses=[TaskAddress(network_id="a", address="10.0.0.2")])
    index = AssignmentIndex(world.tables)
    assert not index.assignments("n1").endpoints["t1"].ready
    running = TaskStatus(task_id="t1", state=TaskState.RUNNING, health=health, not_listening=True)
    index.update([world.put(TASK_STATUS, "t1", running)])
    assert index.assignments("n1").endpoints["t1"].ready


def test_a_stop_waits_for_no_node() -> None:
    world = World()
    world.node("n1")
    world.network("a")
    container(world)
    address = TaskAddress(network_id="a", address="10.0.0.2")
    task(world, "n1", addresses=[address], desired_state=TaskState.SHUTDOWN)
    index = AssignmentIndex(world.tables)
    assert not index.stopping
    assert index.assignments("n1").tasks["t1"].withdrawn


def test_its_ports_are_told_with_its_name() -> None:
    world = World()
    world.node("n1")
    world.network(MESH_NETWORK)
    container(world)
    ports = [PublishedPort(target=80, published=8080)]
    world.put(SERVICE_STATUS, "c", ServiceStatus(service_id="c", mesh_ports=ports))
    (service,) = AssignmentIndex(world.tables).assignments("n1").services.values()
    assert (service.service_name, list(service.mesh_ports)) == ("c", ports)
