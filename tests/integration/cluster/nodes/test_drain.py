"""No request is lost while a service is updated, scaled and moved away from a node, for any client."""

from pathlib import Path

from tests.integration.cluster.harness import Cluster
from tests.integration.cluster.traffic import Traffic, from_container, from_outside
from tests.integration.cluster.web_image import write_web_image

IMAGE = "registry:5000/web:1"
NETWORK = ("--network", "front")


def test_no_request_is_lost_by_an_update_scaling_and_a_drained_node(clean: Cluster, tmp_path: Path) -> None:
    clean.shoal("image", "push", "--quiet", str(write_web_image(tmp_path)), IMAGE)
    clean.shoal("network", "create", "front")
    web = ("--name", "web", "--replicas", "3", "--publish", "8085:80", "--drain-timeout", "1s")
    clean.shoal("service", "create", *web, *NETWORK, "--env", "VERSION=1", IMAGE)
    clean.shoal("service", "create", "--name", "client", "--constraint", "node.hostname==h3", *NETWORK, IMAGE)
    (client,) = clean.pids("client").values()
    addresses = [f"{host.address}:8085" for host in clean.layout.all_hosts()]
    clients = {
        "by every node": from_outside(addresses, fresh=2, kept=2),
        "by its name": from_container(client, "web:80", fresh=2, kept=2),
    }
    with Traffic().running(**clients) as traffic:
        traffic.until(500)
        clean.shoal("service", "update", "--env-add", "VERSION=2", "web")
        for replicas in (5, 2, 3):
            clean.shoal("service", "scale", f"web={replicas}")
        clean.shoal("node", "update", "--availability", "drain", "h2")
        clean.until(lambda: all(task["node"] != "h2" for task in clean.tasks("web")), "tasks elsewhere")
        clean.until(lambda: sum(task["current"].startswith("running") for task in clean.tasks("web")) == 3, "three run")
        clean.shoal("node", "update", "--availability", "active", "h2")
        traffic.until(5_000)
    assert not traffic.losses, (len(traffic.losses), traffic.answered, traffic.losses[:5], clean.logs())
    assert traffic.answered >= 5_000
    assert {"version: 1\n", "version: 2\n"} <= traffic.pages
    for counts in traffic.counts.values():
        assert counts["fresh"] > 500
        assert counts["kept, used"] > 10 * counts["kept, new"] > 0
