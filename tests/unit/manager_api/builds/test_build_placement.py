"""Which node builds: the required, the one of the last build, the preferred, the least loaded."""

from collections.abc import Callable

import pytest

from manager.builds.build_placement import choose_build_node
from manager.store import kinds
from manager.store.changes import Change, Write, put
from manager.store.tables import Tables
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.api.v1.meta_pb2 import Meta, Platform
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeIdentity, NodeSpec, NodeStatus
from shoal.api.v1.standalone_pb2 import Image
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import NotFound, Refused, Unavailable

NAME = "docker.io/library/web:1"


def cluster(
    *tasks: str,
    down: tuple[str, ...] = (),
    drained: tuple[str, ...] = (),
    built_on: str = "",
    architectures: Callable[[str], str] = lambda _: "amd64",
) -> Tables:
    """Nodes a, b and c with hostnames in capitals, and a running task for each letter in `tasks`."""
    tables = Tables()
    writes: list[Write] = []
    for name in "abc":
        identity = NodeIdentity(hostname=name.upper(), platform=Platform(os="linux", architecture=architectures(name)))
        availability = NodeSpec.DRAIN if name in drained else NodeSpec.ACTIVE
        state = NodeStatus.DOWN if name in down else NodeStatus.READY
        about = NodeDescription(hostname=name.upper())
        node = Node(meta=Meta(id=name), spec=NodeSpec(identity=identity, availability=availability))
        writes.append(put(kinds.NODE, name, node))
        status = NodeStatus(node_id=name, state=state, description=about)
        writes.append(put(kinds.NODE_STATUS, name, status))
    for number, node_id in enumerate(tasks):
        task = Task(id=f"t{number}", service_id="s", node_id=node_id, state=TaskState.RUNNING)
        writes.append(put(kinds.TASK, task.id, task))
    if built_on:
        writes.append(put(kinds.IMAGE, "i", Image(name=NAME, built_on=built_on)))
    tables.apply([Change(each.kind, each.identifier, None, each.value) for each in writes], 1)
    return tables


def test_the_required_node_or_none() -> None:
    assert choose_build_node(cluster(built_on="a"), BuildStart(node="B", names=[NAME]), {}) == "b"
    with pytest.raises(NotFound):
        choose_build_node(cluster(), BuildStart(node="Z"), {})
    with pytest.raises(Unavailable, match="node B is not ready"):
        choose_build_node(cluster(down=("b",)), BuildStart(node="B"), {})


def test_where_it_was_built_last_then_the_preferred_one() -> None:
    start = BuildStart(names=[NAME], preferred_node="B")
    assert choose_build_node(cluster(built_on="c"), start, {}) == "c"
    assert choose_build_node(cluster(built_on="c", down=("c",)), start, {}) == "b"
    assert choose_build_node(cluster(), start, {"b": 9}) == "b"
    assert choose_build_node(cluster(), BuildStart(preferred_node="gone"), {}) == "a"


def test_the_least_loaded() -> None:
    assert choose_build_node(cluster("a", "a", "b"), BuildStart(), {}) == "c"
    assert choose_build_node(cluster("a", "a", "b"), BuildStart(), {"c": 1}) == "b"
    assert choose_build_node(cluster(drained=("a",)), BuildStart(), {}) == "b"
    assert choose_build_node(cluster(drained=("a", "b", "c")), BuildStart(), {}) == "a"


def test_only_nodes_of_the_platform() -> None:
    tables = cluster(architectures=lambda name: "arm64" if name == "b" else "amd64")
    assert choose_build_node(tables, BuildStart(platform="linux/arm64/v8"), {}) == "b"
    with pytest.raises(Refused, match="no node of platform linux/s390x is ready"):
        choose_build_node(tables, BuildStart(platform="linux/s390x"), {})
    with pytest.raises(Refused, match="no node is ready"):
        choose_build_node(cluster(down=("a", "b", "c")), BuildStart(), {})
