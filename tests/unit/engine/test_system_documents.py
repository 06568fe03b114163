"""`info`: what is of one host is the home node's."""

from typing import Any

import pytest

from engine.protocol.versions import NEWEST, ApiVersion
from engine.translate.system import ClusterSummary, info_document
from shoal.api.v1.control_pb2 import ClusterView, NodeView
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus


def info(home: NodeView | None, version: ApiVersion = NEWEST) -> dict[str, Any]:
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
    return info_document(summary, version=version, engine_version="28.2.2")


@pytest.mark.parametrize(("reported", "shown"), [(1, "1"), (2, "2"), (0, "2")])
def test_the_cgroup_version_is_that_of_the_home_node(reported: int, shown: str) -> None:
    description = NodeDescription(hostname="h1", cgroup_version=reported, kernel="6.1")
    document = info(NodeView(status=NodeStatus(state=NodeStatus.READY, description=description)))
    assert (document["Name"], document["CgroupVersion"], document["KernelVersion"]) == ("h1", shown, "6.1")


def test_without_a_home_node_there_are_sums_alone() -> None:
    document = info(None)
    assert (document["Name"], document["KernelVersion"], document["CgroupVersion"]) == ("c1", "", "2")
    assert (document["Containers"], document["ContainersRunning"], document["ContainersStopped"]) == (3, 2, 1)


def test_clients_of_older_versions_read_what_they_know() -> None:
    description = NodeDescription(hostname="h1", runtime="crun 1.8", security_options=["name=seccomp,profile=builtin"])
    home = NodeView(status=NodeStatus(state=NodeStatus.READY, description=description))
    newest, v148, v124 = info(home), info(home, ApiVersion(1, 48)), info(home, ApiVersion(1, 24))
    assert newest["RuncCommit"] == {"ID": "crun 1.8"}
    assert newest["FirewallBackend"] == {"Driver": "nftables"}
    assert v148.keys() - newest.keys() == {"BridgeNfIptables", "BridgeNfIp6tables"}
    assert newest.keys() - v148.keys() == {"FirewallBackend"}
    assert v148["RuncCommit"] == {"ID": "crun 1.8", "Expected": "crun 1.8"}
    assert v148["SecurityOptions"] == ["name=seccomp,profile=builtin"]
    assert (v124["SecurityOptions"], v124["ExecutionDriver"]) == (["seccomp"], "<not supported>")
