"""No request is lost while a service is updated, scaled and moved away from a node."""

from tests.integration.cluster.harness import Cluster
from tests.integration.cluster.traffic import Traffic

HELLO = "registry:5000/hello"


def test_no_request_is_lost_by_an_update_scaling_and_a_drained_node(clean: Cluster) -> None:
    clean.shoal(*("service", "create", "--name", "web", "--replicas", "3", "--publish", "8085:80", f"{HELLO}:1"))
    addresses = [f"{host.address}:8085" for host in clean.layout.all_hosts()]
    with Traffic(addresses).running(fresh=2, kept=1) as traffic:
        traffic.until(500)
        clean.shoal("service", "update", "--image", f"{HELLO}:2", "web")
        clean.shoal("service", "scale", "web=5")
        clean.shoal("service", "scale", "web=2")
        clean.shoal("service", "scale", "web=3")
        clean.shoal("node", "update", "--availability", "drain", "h2")
        clean.until(lambda: all(task["node"] != "h2" for task in clean.tasks("web")), "tasks elsewhere")
        clean.until(lambda: sum(task["current"].startswith("running") for task in clean.tasks("web")) == 3, "three run")
        clean.shoal("node", "update", "--availability", "active", "h2")
        traffic.until(5_000)
    assert not traffic.losses, (len(traffic.losses), traffic.answered, traffic.losses[:5], clean.logs())
    assert traffic.answered >= 5_000
    assert len(traffic.pages) >= 2
