"""`info`: what is of one host is the home node's."""

import pytest

from engine.protocol.versions import NEWEST
from engine.translate.system import ClusterSummary, info_document
from shoal.api.v1.control_pb2 import ClusterView, NodeView
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus


def info(home: NodeView | None) -> dict[str, object]:
    summary = ClusterSummary(
        cluster=ClusterView(id="c1"),
        nodes=[home] if home is not None else [],
        home=home,
        states={"running": 2, "exited": 1},
        images=3,
        swarm={},
        listeners=0,
        now="2026-11-30T00:00:00Z",
    )
    return info_document(summary, version=NEWEST, engine_version="28.2.2")


@pytest.mark.parametrize(("reported", "shown"), [(1, "1"), (2, "2"), (0, "2")])
def test_the_cgroup_version_is_that_of_the_home_node(reported: int, shown: str) -> None:
    description = NodeDescription(hostname="h1", cgroup_version=reported, kernel="6.1")
    document = info(NodeView(status=NodeStatus(state=NodeStatus.READY, description=description)))
    assert (document["Name"], document["CgroupVersion"], document["KernelVersion"]) == ("h1", shown, "6.1")


def test_without_a_home_node_there_are_sums_alone() -> None:
    document = info(None)
    assert (document["Name"], document["KernelVersion"], document["CgroupVersion"]) == ("c1", "", "2")
    assert (document["Containers"], document["ContainersRunning"], document["ContainersStopped"]) == (3, 2, 1)
