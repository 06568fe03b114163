"""What nodes are told: single cases; every kind of record is handled or unrelated."""

from manager.dispatcher.assignments.assignment_index import AssignmentIndex
from manager.dispatcher.assignments.node_assignments import NodeAssignments, increment, is_empty, snapshot, trimmed
from manager.store import kinds
from manager.store.kinds import (
    ALLOCATION,
    NODE_STATUS,
    REVISION,
    TASK,
)
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.network_pb2 import NetworkAllocation
from shoal.api.v1.service_pb2 import (
    Endpoint,
    PublishedPort,
    ServiceRevision,
    ServiceSpec,
    TaskTemplate,
)
from shoal.api.v1.task_pb2 import TaskState
from shoal.networks.published_ports import MESH_NETWORK
from tests.unit.dispatcher.dispatcher_world import NODES, World


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
    assigned = AssignmentIndex(world.tables).assignments("n1")
    assert set(assigned.tasks) == {"t1"}
    assert set(assigned.endpoints) == {"t1", "t22"}
    assert set(assigned.peers) == {"n2"}
    assert set(assigned.revisions) == {"s/1"}
    assert assigned.endpoints["t22"].aliases["a"].names == ["alias-a"]


def test_an_endpoint_is_ready_only_while_it_runs_and_is_wanted() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"])
    index = AssignmentIndex(world.tables)
    assert not index.assignments("n1").endpoints["t1"].ready
    assert index.update(world.status("t1", TaskState.RUNNING)) == {"n1": {("task", "t1"), ("endpoint", "t1")}}
    assert index.assignments("n1").endpoints["t1"].ready
    index.update(world.task("t1", "n1", ["a"], desired=TaskState.SHUTDOWN))
    assert not index.assignments("n1").endpoints["t1"].ready
    index.update(world.status("t1", TaskState.SHUTDOWN))
    assert not index.assignments("n1").endpoints


def test_an_ended_task_is_told_with_the_state_that_it_ended_in_and_needs_nothing() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"])
    world.status("t1", TaskState.COMPLETE)
    assigned = AssignmentIndex(world.tables).assignments("n1")
    assert assigned.tasks["t1"].state == TaskState.COMPLETE
    assert not assigned.networks and not assigned.revisions


def test_a_task_that_is_to_be_forgotten_and_has_ended_is_left_out() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"], desired=TaskState.REMOVE)
    index = AssignmentIndex(world.tables)
    assert set(index.assignments("n1").tasks) == {"t1"}
    assert set(index.update(world.status("t1", TaskState.SHUTDOWN))) == {"n1"}
    assert not index.assignments("n1").tasks


def test_progress_of_a_task_concerns_nobody() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"])
    index = AssignmentIndex(world.tables)
    assert index.update(world.status("t1", TaskState.PREPARING)) == {}


def test_a_task_on_another_network_concerns_only_its_own_node() -> None:
    world = two_hosts()
    world.network("b")
    world.task("t1", "n1", ["a"])
    index = AssignmentIndex(world.tables)
    assert set(index.update(world.task("t22", "n2", ["b"]))) == {"n2"}


def test_an_endpoint_shows_only_the_networks_that_the_node_is_on() -> None:
    world = two_hosts()
    world.network("b")
    world.task("t1", "n1", ["a"])
    world.task("t22", "n2", ["a", "b"])
    index = AssignmentIndex(world.tables)
    assert [each.network_id for each in index.assignments("n1").endpoints["t22"].addresses] == ["a"]
    assert len(index.assignments("n2").endpoints["t22"].addresses) == 2


def test_a_change_of_one_task_is_one_record_to_every_other_node_however_many_there_are() -> None:
    world = two_hosts()
    for number in range(50):
        world.task(f"t1{number}", "n1", ["a"])
        world.task(f"t2{number}", "n2", ["a"])
    index = AssignmentIndex(world.tables)
    marks = index.update(world.status("t17", TaskState.RUNNING))
    assert marks["n2"] == {("endpoint", "t17")}
    reported = index.changes("n2", marks["n2"]).assignments
    assert [each.task_id for each in reported.endpoints] == ["t17"] and not reported.tasks and not reported.snapshot


def test_a_node_that_comes_to_a_network_is_told_of_all_of_it_and_the_others_of_the_node() -> None:
    world = two_hosts()
    world.node("n3", address="192.0.2.3")
    for number in range(5):
        world.task(f"t{number}", "n1", ["a"])
    index = AssignmentIndex(world.tables)
    marks = index.update(world.task("new", "n3", ["a"]))
    assert marks["n1"] == {("endpoint", "new"), ("peer", "n3")}
    reported = index.changes("n3", marks["n3"]).assignments
    assert len(reported.endpoints) == 6 and [each.node_id for each in reported.peers] == ["n1"]
    assert [each.network_id for each in reported.networks] == ["a"] and len(reported.revisions) == 1
    marks = index.update([world.put(TASK, "new", None)])
    reported = index.changes("n3", marks["n3"]).assignments
    assert list(reported.removed_networks) == ["a"] and len(reported.removed_endpoints) == 6
    assert list(reported.removed_peers) == ["n1"] and list(reported.removed_tasks) == ["new"]


def test_a_subnet_that_is_widened_is_one_record() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"])
    index = AssignmentIndex(world.tables)
    wider = NetworkAllocation(network_id="a", subnet="10.0.0.0/23")
    assert index.update([world.put(ALLOCATION, "a", wider)]) == {"n1": {("network", "a")}}


def test_a_task_that_is_to_stop_does_not_bring_its_revision_again() -> None:
    world = two_hosts()
    world.task("t1", "n1", ["a"])
    index = AssignmentIndex(world.tables)
    marks = index.update(world.task("t1", "n1", ["a"], desired=TaskState.SHUTDOWN))
    assert marks == {"n1": {("task", "t1")}}


def test_a_node_learns_how_its_tasks_are_reached_and_stopped() -> None:
    world = two_hosts()
    container = ContainerSpec(image="web", stop_grace_ms=1, drain_ms=2)
    port = PublishedPort(protocol=PublishedPort.TCP, target=80, published=8080)
    spec = ServiceSpec(name="web", task=TaskTemplate(container=container))
    spec.endpoint.CopyFrom(Endpoint(mode=Endpoint.DNSRR, ports=[port]))
    world.put(REVISION, "s/1", ServiceRevision(service_id="s", number=1, spec=spec))
    world.task("t1", "n1", ["a"])
    reported = AssignmentIndex(world.tables).assignments("n1").revisions["s/1"].spec
    assert (reported.endpoint, reported.task.container) == (spec.endpoint, container)


def test_a_node_learns_when_it_stops_a_task_by_itself() -> None:
    revision = ServiceRevision(service_id="s", number=1)
    revision.spec.task.stop_on_disconnect_ms, revision.spec.task.build_id = 5_000, "b1"
    revision.spec.task.placement.constraints.append("node.labels.x == y")
    sent = trimmed(revision).spec.task
    assert (sent.stop_on_disconnect_ms, sent.build_id, sent.HasField("placement")) == (5_000, "b1", False)
    assert sent.HasField("restart"), "else the node does not know the restart policy"


def test_a_snapshot_replaces_and_an_increment_of_nothing_is_empty() -> None:
    assert snapshot(NodeAssignments(), 7).snapshot
    assert is_empty(increment((), lambda topic, key: None, 7))


def test_nodes_that_connect_are_told_nothing_of_each_other_until_a_network_joins_them() -> None:
    """Each new node would else be a message for all that are there: half a million for a thousand nodes."""
    world = World()
    index = AssignmentIndex(world.tables)
    marked = 0
    for number in range(100):
        marked += len(index.update(world.node(f"n{number}", address=f"192.0.2.{number}")))
    assert marked <= 100
    marked_by_mesh = index.update(world.network(MESH_NETWORK))
    assert len(marked_by_mesh) == 100
    assert len(index.assignments("n1").peers) == 99
    gone = index.update([world.put(NODE_STATUS, "n2", None)])
    assert len(gone) >= 99
    assert len(index.assignments("n1").peers) == 98


def test_a_task_that_is_drained_while_its_removal_is_under_way_is_still_told_to_be_gone() -> None:
    """The tables are ahead of the index for a moment, in which an agent may say that it has applied something."""
    world = World()
    world.revision("s", 1, ["a"])
    world.network("a")
    for number, node in enumerate(NODES):
        world.node(node, address=f"192.0.2.{number}")
        world.task(f"t{number}", node, ["a"])
    world.task("t0", NODES[0], ["a"], desired=TaskState.SHUTDOWN)
    index = AssignmentIndex(world.tables)
    assert "t0" in index.stopping
    gone = world.put(TASK, "t0", None)
    assert index.mark_withdrawn("t0") == NODES[0]
    assert "t0" not in index.stopping
    marks = index.update([gone])
    assert all(("endpoint", "t0") in marks[node] for node in NODES)
    assert index.mark_withdrawn("t0") == "", "nobody is to be told of it any more"


UNRELATED_KINDS = {
    kinds.MEMBERSHIP.name,
    kinds.REMOVED_MANAGER.name,
    kinds.MANAGER_CLOCK.name,
    kinds.STATE_FORMAT.name,
    kinds.NODE.name,
    kinds.NODE_IMAGES.name,  # its identity is in the description of its status
    kinds.SECRET_VERSION.name,
    kinds.CONFIG.name,
    kinds.CONFIG_VERSION.name,  # immutable; a new one comes with a new revision
    kinds.AUTOSCALE.name,
    kinds.VOLUME_HOME.name,
    kinds.NAME.name,
    kinds.MANAGER.name,
    kinds.REGISTERED_MANAGER.name,
    kinds.MEMBERSHIP.name,
    kinds.REMOVED_MANAGER.name,
    kinds.MANAGER_CLOCK.name,
    kinds.APPLIED.name,
    kinds.CLUSTER.name,
    kinds.CLUSTER_SETTINGS.name,  # a message of its own
    kinds.IMAGE.name,
    kinds.NODE_IMAGES.name,
    kinds.JOIN_TOKEN.name,
    kinds.BACKUP_SCHEDULE.name,
    kinds.BACKUP_STATUS.name,
    kinds.EPOCH.name,
    kinds.LEADER.name,
    kinds.PLAN_SEQUENCE.name,
}


def test_every_kind_of_record_is_handled_or_unrelated() -> None:
    handled = AssignmentIndex(World().tables).handled_kinds
    assert handled | UNRELATED_KINDS == {kind.name for kind in kinds.KINDS}
    assert not handled & UNRELATED_KINDS
