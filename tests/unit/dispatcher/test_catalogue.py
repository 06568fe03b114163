"""What nodes are told: single cases, and the property that increments lead where a fresh start leads."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from agent.worker.assigned import Assigned
from manager.dispatcher.catalogue import Catalogue
from manager.dispatcher.needs import NOTHING, diff, snapshot
from manager.store.changes import Change
from manager.store.kinds import NETWORK, NODE_STATUS, TASK, TASK_STATUS
from shoal.api.v1.task_pb2 import TaskState
from tests.unit.dispatcher.dispatcher_world import World, applied, same

NODES = ("n1", "n2", "n3")
NETWORKS = ("a", "b")
TASKS = ("t1", "t22", "t333", "t4444")
Step = Callable[[World], list[Change]]


def two_hosts() -> World:
    world = World()
    world.node("n1", address="192.0.2.1")
    world.node("n2", address="192.0.2.2")
    world.network("a")
    world.revision("s", 1, ["a"])
    return world


def test_a_node_learns_of_tasks_elsewhere_on_its_networks_and_of_their_nodes() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"])
    world.task("t22", "n2", ["a"])
    world.task("t333", "n2", [])
    needs = Catalogue(world.tables).needs("n1")
    assert set(needs.tasks) == {"t1"}
    assert set(needs.endpoints) == {"t1", "t22"}
    assert set(needs.peers) == {"n2"}
    assert set(needs.revisions) == {"s/1"}
    assert needs.endpoints["t22"].aliases["a"].names == ["alias-a"]


def test_an_endpoint_is_ready_only_while_it_runs_and_is_wanted() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"])
    catalogue = Catalogue(world.tables)
    assert not catalogue.needs("n1").endpoints["t1"].ready
    assert catalogue.update(world.status("t1", TaskState.RUNNING)) == {"n1"}
    assert catalogue.needs("n1").endpoints["t1"].ready
    catalogue.update(world.task("t1", "n1", ["a"], desired=TaskState.SHUTDOWN))
    assert not catalogue.needs("n1").endpoints["t1"].ready
    catalogue.update(world.status("t1", TaskState.SHUTDOWN))
    assert not catalogue.needs("n1").endpoints


def test_an_ended_task_is_told_with_the_state_that_it_ended_in_and_needs_nothing() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"])
    world.status("t1", TaskState.COMPLETE)
    needs = Catalogue(world.tables).needs("n1")
    assert needs.tasks["t1"].state == TaskState.COMPLETE
    assert not needs.networks and not needs.revisions


def test_a_task_that_is_to_be_forgotten_and_has_ended_is_left_out() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"], desired=TaskState.REMOVE)
    catalogue = Catalogue(world.tables)
    assert set(catalogue.needs("n1").tasks) == {"t1"}
    assert catalogue.update(world.status("t1", TaskState.SHUTDOWN)) == {"n1"}
    assert not catalogue.needs("n1").tasks


def test_progress_of_a_task_concerns_nobody() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"])
    catalogue = Catalogue(world.tables)
    assert catalogue.update(world.status("t1", TaskState.PREPARING)) == set()


def test_a_task_on_another_network_concerns_only_its_own_node() -> None:
    world = two_hosts()
    world.network("b")
    world.task("t1", "n1", ["a"])
    catalogue = Catalogue(world.tables)
    assert catalogue.update(world.task("t22", "n2", ["b"])) == {"n2"}


def test_an_endpoint_shows_only_the_networks_that_the_node_is_on() -> None:
    world = two_hosts()
    world.network("b")
    world.task("t1", "n1", ["a"])
    world.task("t22", "n2", ["a", "b"])
    catalogue = Catalogue(world.tables)
    assert [each.network_id for each in catalogue.needs("n1").endpoints["t22"].addresses] == ["a"]
    assert len(catalogue.needs("n2").endpoints["t22"].addresses) == 2


def test_a_snapshot_replaces_and_an_increment_of_nothing_is_empty() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"])
    needs = Catalogue(world.tables).needs("n1")
    assert snapshot(needs, 7).snapshot
    assert diff(needs, needs, 7).ListFields() == diff(NOTHING, NOTHING, 7).ListFields()


def _put_task(task_id: str, node_id: str, networks: list[str], desired: TaskState.ValueType) -> Step:
    return lambda world: world.task(task_id, node_id, networks, desired=desired)


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        _put_task,
        st.sampled_from(TASKS),
        st.sampled_from(NODES),
        st.lists(st.sampled_from(NETWORKS), unique=True),
        st.sampled_from([TaskState.RUNNING, TaskState.SHUTDOWN, TaskState.REMOVE]),
    ),
    st.sampled_from(TASKS).map(lambda task: lambda world: [world.put(TASK, task, None)]),
    st.sampled_from(TASKS).map(lambda task: lambda world: [world.put(TASK_STATUS, task, None)]),
    st.builds(
        lambda task, state: lambda world: world.status(task, state),
        st.sampled_from(TASKS),
        st.sampled_from([TaskState.PREPARING, TaskState.RUNNING, TaskState.FAILED, TaskState.SHUTDOWN]),
    ),
    st.builds(
        lambda node, last: lambda world: world.node(node, address=f"192.0.2.{last}"),
        st.sampled_from(NODES),
        st.integers(1, 3),
    ),
    st.sampled_from(NODES).map(lambda node: lambda world: [world.put(NODE_STATUS, node, None)]),
    st.sampled_from(NETWORKS).map(lambda name: lambda world: world.network(name)),
    st.sampled_from(NETWORKS).map(lambda name: lambda world: [world.put(NETWORK, name, None)]),
)


@given(st.lists(st.lists(STEPS, max_size=4), max_size=12))
def test_increments_to_affected_nodes_lead_where_a_fresh_start_leads(bursts: list[list[Step]]) -> None:
    world = World()
    world.revision("s", 1, ["a"])
    catalogue = Catalogue(world.tables)
    sent = {node: catalogue.needs(node) for node in NODES}
    known = {node: applied(Assigned(), snapshot(sent[node], 0)) for node in NODES}
    for burst in bursts:
        affected = catalogue.update([change for step in burst for change in step(world)])
        for node in affected & set(NODES):
            new = catalogue.needs(node)
            known[node] = applied(known[node], diff(sent[node], new, world.tables.revision))
            sent[node] = new
        fresh = Catalogue(world.tables)
        for node in NODES:
            assert same(known[node], fresh.needs(node)), node
