"""A test that fails halfway leaves nothing behind for those after it."""

from cli.playground import virtual_network
from tests.integration.cluster.harness import Cluster
from tests.integration.cluster.leftovers import remove_all

HELLO = "registry:5000/hello:1"


def node_columns(cluster: Cluster) -> list[dict[str, object]]:
    """What is not of the moment."""
    rows = cluster.json("node", "ls")
    return [{name: row[name] for name in ("hostname", "status", "availability", "warnings")} for row in rows]


def test_what_a_test_leaves_of_hosts_and_nodes(clean: Cluster) -> None:
    before = node_columns(clean)
    specs = [clean.json("node", "inspect", f"h{number}")[0]["node"]["spec"] for number in (1, 2, 3)]
    clean.quick("node", "update", "--label-add", "disk=ssd", "--availability", "pause", "h1")
    clean.quick("node", "update", "--hostname", "renamed", "--engine-label-add", "rack=r1", "h2")
    clean.quick("cluster", "update", "--image-repository", "")
    clean.quick("service", "create", "--detach", "--name", "left", "--replicas", "3", HELLO)
    clean.playground.stop_agent(clean.host_of("h1"), kill=True)
    virtual_network.set_link_state(clean.layout, clean.host_of("h3"), connected=False)
    clean.playground.stop_manager(kill=True)
    remove_all(clean)
    assert node_columns(clean) == before
    assert [clean.json("node", "inspect", f"h{number}")[0]["node"]["spec"] for number in (1, 2, 3)] == specs
    assert clean.json("service", "ls") == []
