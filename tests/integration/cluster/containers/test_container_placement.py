"""Where containers of one's own are placed: once, by all that binds them to nodes; or refused with every reason."""

from collections.abc import Iterator

import pytest

from tests.integration.cluster.containers.containers import IMAGE, SLEEP, load_image, names, node_of, run, state
from tests.integration.cluster.harness import Cluster


@pytest.fixture
def box(clean: Cluster) -> Iterator[Cluster]:
    """The cluster, with the image, and a label on h2 while the test lasts."""
    load_image(clean)
    clean.quick("node", "update", "--label-add", "disk=ssd", "h2")
    yield clean
    clean.quick("node", "update", "--label-rm", "disk", "h2")


def create(cluster: Cluster, name: str, *options: str) -> str:
    """Create a container; the node that it is on."""
    cluster.quick("create", "--name", name, *options, IMAGE, *SLEEP)
    return node_of(cluster, name)


def test_by_node_constraint_volume_and_neighbour(box: Cluster) -> None:
    node_id = next(row["id"] for row in box.json("node", "ls") if row["hostname"] == "h3")
    assert [create(box, f"n-{each}", "--node", each) for each in ("h1", "h2", node_id)] == ["h1", "h2", "h3"]
    assert create(box, "label", "--constraint", "node.labels.disk == ssd") == "h2"
    assert create(box, "first", "--node", "h3", "--volume", "data:/data") == "h3"
    assert create(box, "second", "--volume", "data:/data") == "h3", "where its volume is"
    assert create(box, "third", "--volumes-from", "second") == "h3"
    assert create(box, "bind", "--constraint", "node.hostname == h1", "--volume", "/tmp:/host") == "h1"


def test_a_node_that_holds_the_image_comes_first(box: Cluster) -> None:
    box.quick("tag", IMAGE, "rare:1")
    archive = box.layout.state / "rare.tar"
    box.shoal("save", "--output", str(archive), IMAGE)
    run(box, "--name", "holder", "--node", "h2", "--label", "only=here")
    box.until(lambda: "h2" in holders(box), "h2 to report that it holds the image")
    others = {create(box, f"next-{number}") for number in range(3)}
    assert others <= holders(box)


def holders(cluster: Cluster) -> set[str]:
    """Hostnames of the nodes that have reported that they hold the image."""
    nodes = cluster.json("image", "inspect", IMAGE)[0]["Nodes"]
    return {row["hostname"] for row in cluster.json("node", "ls") if row["id"] in nodes}


def test_what_fits_nowhere_is_refused_with_all_reasons(box: Cluster) -> None:
    text = box.refusal("create", "--constraint", "node.labels.disk == ssd", "--reserve-memory", "900G", IMAGE)
    assert "1 of 3 lacks 900 GiB of memory, 2 of 3 do not meet constraint node.labels.disk == ssd" in text
    create(box, "owner", "--node", "h3", "--volume", "data:/data")
    text = box.refusal("create", "--node", "h1", "--volume", "data:/data", IMAGE)
    assert "it has to be on node h1" in text and "volume data is on node h3" in text
    create(box, "other", "--node", "h1", "--volume", "more:/more")
    text = box.refusal("create", "--volume", "data:/data", "--volume", "more:/more", IMAGE)
    assert "volume data is on node h3" in text and "volume more is on node h1" in text
    assert "a bind mount is of one node" in box.refusal("create", "--volume", "/tmp:/host", IMAGE)
    assert 'node "h9" not found' in box.refusal("create", "--node", "h9", IMAGE)
    assert names(box) == {"owner", "other"}, "nothing is half made"
    assert {row["name"] for row in box.json("volume", "ls")} == {"data", "more"}


def test_a_drained_node_keeps_its_containers_and_takes_no_others(box: Cluster) -> None:
    run(box, "--name", "there", "--node", "h1")
    box.quick("node", "update", "--availability", "drain", "h1")
    assert {create(box, f"later-{number}") for number in range(4)} <= {"h2", "h3"}
    assert "drain" in box.refusal("create", "--node", "h1", IMAGE)
    assert (state(box, "there"), node_of(box, "there")) == ("running", "h1")
    box.quick("restart", "--timeout", "0", "there")
    assert (state(box, "there"), node_of(box, "there")) == ("running", "h1")


def test_a_published_port_is_one_of_the_whole_cluster(box: Cluster) -> None:
    run(box, "--name", "web", "--publish", "8090:80", program=())
    box.quick("create", "--name", "late", "--publish", "8090:80", IMAGE)
    assert "8090" in box.refusal("start", "late"), "the port is taken when it starts, and by one alone"
    assert state(box, "late") == "created"
    box.quick("rm", "--force", "web")
    box.quick("start", "late")
    assert state(box, "late") == "running"
    assert "8090" in box.quick("port", "late")
