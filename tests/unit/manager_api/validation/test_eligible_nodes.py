"""Which nodes a placement allows."""

from manager.store import kinds
from manager.store.changes import Change
from manager.store.kinds import Kind
from manager.store.tables import Tables
from manager.validation.eligible_nodes import eligible_nodes, rules_of
from shoal.api.v1.meta_pb2 import Meta, Platform
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Placement, ServiceSpec, TaskTemplate


def put(tables: Tables, kind: "Kind[Node] | Kind[NodeStatus]", identifier: str, record: Node | NodeStatus) -> None:
    tables.apply([Change(kind, identifier, None, record)], tables.revision + 1)  # type: ignore[arg-type]


def cluster() -> Tables:
    tables = Tables()
    for name, availability, state in (
        ("a", NodeSpec.ACTIVE, NodeStatus.READY),
        ("b", NodeSpec.AVAILABILITY_UNSPECIFIED, NodeStatus.READY),
        ("paused", NodeSpec.PAUSE, NodeStatus.READY),
        ("drained", NodeSpec.DRAIN, NodeStatus.READY),
        ("down", NodeSpec.ACTIVE, NodeStatus.DOWN),
    ):
        spec = NodeSpec(availability=availability, labels={"rack": name})
        about = NodeDescription(hostname=name, platform=Platform(os="linux", architecture="amd64"))
        put(tables, kinds.NODE, name, Node(meta=Meta(id=name), spec=spec))
        put(tables, kinds.NODE_STATUS, name, NodeStatus(node_id=name, state=state, description=about))
    put(tables, kinds.NODE, "new", Node(meta=Meta(id="new")))
    return tables


def names(*constraints: str) -> list[str]:
    spec = ServiceSpec(task=TaskTemplate(placement=Placement(constraints=constraints)))
    return [status.node_id for status in eligible_nodes(cluster(), spec)]


def test_nodes_accept_tasks_and_meet_the_constraints() -> None:
    assert names() == ["a", "b"]
    assert names("node.labels.rack != b") == ["a"]
    assert names("node.labels.rack == paused") == []
    assert names("no constraint") == []


def test_a_platform_has_the_image() -> None:
    view = cluster()
    for architecture, allowed in (("amd64", True), ("arm64", False)):
        rules = rules_of(Placement(platforms=[Platform(os="linux", architecture=architecture)]))
        assert rules is not None and rules.allow(view.nodes["a"], view.node_status["a"]) == allowed
    assert rules_of(Placement(constraints=["no constraint"])) is None
