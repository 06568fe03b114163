"""Virtual addresses and ports of every node, as a user has them."""

from functools import partial

from tests.integration.cluster.harness import Cluster, inside
from tests.integration.cluster.services.test_service_lifecycle import HELLO, fetch


def answers(address: str) -> bool:
    try:
        return bool(fetch(address))
    except OSError:
        return False


def test_a_services_name_leads_to_one_address_and_its_tasks_name_to_all(clean: Cluster) -> None:
    clean.shoal("network", "create", "front")
    clean.shoal("service", "create", "--name", "web", "--replicas", "3", "--network", "front", f"{HELLO}:1")
    clean.shoal("service", "create", "--name", "client", "--network", "front", f"{HELLO}:1", "sleep", "1000")
    (client,) = clean.pids("client").values()

    def addresses(name: str) -> set[str]:
        lines = inside(client, "/bin/nslookup", "-type=a", name).stdout.splitlines()
        found = [line.partition(":")[2].strip() for line in lines if line.startswith("Address")]
        return {address for address in found if not address.startswith("169.254")}

    (virtual,) = clean.until(lambda: addresses("web"), "an address of the service")
    tasks = clean.until(lambda: found if len(found := addresses("tasks.web")) == 3 else None, "addresses of the tasks")
    assert virtual not in tasks
    assert inside(client, "/bin/wget", "-qO-", f"http://{virtual}/").returncode == 0
    assert inside(client, "/bin/wget", "-qO-", "http://web/").returncode == 0
    (document,) = clean.json("service", "inspect", "web")
    assert virtual in str(document)

    clean.shoal("service", "update", "--endpoint-mode", "dnsrr", "web")
    clean.until(lambda: addresses("web") == addresses("tasks.web"), "the name to lead to the tasks")


def test_every_node_answers_a_published_port(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--publish", "8086:80", f"{HELLO}:1")
    for host in clean.layout.all_hosts():
        clean.until(partial(answers, f"{host.address}:8086"), f"an answer of {host.name}")
    clean.shoal("service", "update", "--publish-rm", "80", "--publish-add", "8087:80", "web")
    for host in clean.layout.all_hosts():
        clean.until(partial(answers, f"{host.address}:8087"), f"an answer of {host.name}")
        assert not answers(f"{host.address}:8086")


def test_a_port_that_is_taken_is_refused_by_the_name_of_who_has_it(clean: Cluster) -> None:
    clean.shoal("service", "create", "-d", "--name", "web", "--publish", "8088:80", f"{HELLO}:1")
    for port in ("8088:80", "mode=host,published=8088,target=80"):
        refused = clean.run("service", "create", "-d", "--name", "shop", "--publish", port, f"{HELLO}:1")
        assert refused.returncode != 0
        assert '8088/tcp is already published by service "web"' in refused.stderr
    clean.shoal("service", "create", "-d", "--name", "shop", "--publish", "8088:80/udp", f"{HELLO}:1")


def test_the_meshs_network_is_the_clusters_own(clean: Cluster) -> None:
    clean.shoal("service", "create", "-d", "--name", "web", "--publish", "8089:80", f"{HELLO}:1")
    refused = clean.run("service", "create", "-d", "--name", "shop", "--network", "ingress", f"{HELLO}:1")
    assert "routing mesh" in refused.stderr
    assert "routing mesh" in clean.run("network", "create", "ingress").stderr
    assert "in use by web" in clean.run("network", "rm", "ingress").stderr
