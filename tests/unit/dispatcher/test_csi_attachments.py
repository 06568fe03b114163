"""Nodes are told of volumes of drivers as these come to them and leave them."""

from manager.dispatcher.assignments.assignment_index import AssignmentIndex
from manager.store import kinds
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.volume_pb2 import Volume, VolumePublication, VolumeSpec, VolumeStatus
from tests.unit.dispatcher.dispatcher_world import World

W, A, R, L = (
    VolumePublication.WAITING,
    VolumePublication.ATTACHING,
    VolumePublication.READY,
    VolumePublication.RELEASING,
)


def status(*publications: tuple[str, VolumePublication.State.ValueType]) -> VolumeStatus:
    made = [
        VolumePublication(node_id=node, number=1, state=state, context={"secret-less": node}, problem="why")
        for node, state in publications
    ]
    return VolumeStatus(volume_id="v", driver_volume_id="real", context={"a": "b"}, publications=made)


def world() -> World:
    made = World()
    for node in ("n1", "n2"):
        made.node(node)
    made.put(kinds.VOLUME, "v", Volume(meta=Meta(id="v"), spec=VolumeSpec(name="data", driver="d")))
    return made


def notifier(cluster: World, index: AssignmentIndex, now: VolumeStatus | None) -> dict[str, Assignments]:
    marks = index.update([cluster.put(kinds.VOLUME_STATUS, "v", now)])
    return {node: index.changes(node, marked).assignments for node, marked in marks.items()}


def test_each_node_hears_of_its_own_alone() -> None:
    cluster = world()
    index = AssignmentIndex(cluster.tables)
    reported = notifier(cluster, index, status(("n1", R)))
    assert set(reported) == {"n1"}
    (one,) = reported["n1"].attachments
    assert (one.name, one.driver, one.publication_number, one.state, one.driver_volume_id) == (
        "data",
        "d",
        1,
        R,
        "real",
    )
    assert dict(one.volume_context) == {"a": "b"} and dict(one.publish_context) == {"secret-less": "n1"}
    reported = notifier(cluster, index, status(("n1", L), ("n2", W)))
    assert [each.state for node in ("n1", "n2") for each in reported[node].attachments] == [L, W]
    (waiting,) = reported["n2"].attachments
    assert waiting.problem == "why" and not waiting.publish_context, "nothing to use before it may be used"
    reported = notifier(cluster, index, status(("n2", A)))
    assert list(reported["n1"].removed_attachments) == ["v"]
    assert [each.state for each in reported["n2"].attachments] == [W], "to the node, being attached is waiting"


def test_a_new_session_and_a_new_manager_tell_the_same() -> None:
    cluster = world()
    index = AssignmentIndex(cluster.tables)
    notifier(cluster, index, status(("n1", R)))
    for each in (index, AssignmentIndex(cluster.tables)):
        assert [one.volume_id for one in each.changes("n1", None).assignments.attachments] == ["v"]
        assert not each.changes("n2", None).assignments.attachments
    assert list(notifier(cluster, index, None)["n1"].removed_attachments) == ["v"]
    assert not index.assignments("n1").attachments
