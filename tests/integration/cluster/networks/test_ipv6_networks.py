"""Networks with IPv6, as a user has them: names, virtual addresses, published ports, fixed addresses, refusals."""

from functools import partial

from tests.integration.cluster.harness import Cluster, inside
from tests.integration.cluster.services.test_service_lifecycle import HELLO, fetch

SUBNET6 = "fd5a:1:2:3::/64"
CLIENT = ("--stop-signal", "SIGKILL", f"{HELLO}:1", "sleep", "1000")


def answers(address: str) -> bool:
    try:
        return bool(fetch(address))
    except OSError:
        return False


def looked_up(pid: int, name: str, kind: str = "aaaa") -> set[str]:
    lines = inside(pid, "/bin/nslookup", f"-type={kind}", name).stdout.splitlines()
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("Address")]
    return {address for address in found if not address.startswith("169.254")}


def fetched(pid: int, address: str) -> bool:
    return inside(pid, "/bin/wget", "-qO-", f"http://{address}/").returncode == 0


def test_a_services_name_leads_to_an_address_of_each_family(clean: Cluster) -> None:
    clean.shoal("network", "create", "--ipv6", "dual")
    clean.shoal("network", "create", "single")
    on_both = ("--network", "dual", "--network", "single")
    clean.shoal("service", "create", "--name", "web", "--replicas", "3", "--network", "dual", f"{HELLO}:1")
    clean.shoal("service", "create", "--name", "old", "--network", "single", f"{HELLO}:1")
    clean.shoal("service", "create", "--name", "client", *on_both, *CLIENT)
    (client,) = clean.pids("client").values()

    (virtual,) = clean.until(lambda: looked_up(client, "web"), "an IPv6 address of the service")
    tasks = clean.until(lambda: found if len(found := looked_up(client, "tasks.web")) == 3 else None, "those of tasks")
    assert virtual not in tasks
    for address in (virtual, *tasks):
        clean.until(partial(fetched, client, f"[{address}]"), f"an answer of {address}")
    assert fetched(client, "web")
    assert looked_up(client, "old") == set()
    assert len(looked_up(client, "old", "a")) == 1
    slot = looked_up(client, "web.1")
    assert slot < tasks
    assert "name = web.1." in inside(client, "/bin/nslookup", slot.pop()).stdout

    (network,) = clean.json("network", "inspect", "dual")
    assert network["allocation"]["subnet6"].startswith("fd")
    assert {each["address6"] for each in network["endpoints"]} > tasks
    assert virtual in str(clean.json("service", "inspect", "web"))
    assert any(address in str(clean.inspect(clean.tasks("web")[0]["id"])) for address in tasks)
    assert "subnet6" in clean.shoal("network", "ls").lower()


def test_a_port_is_published_at_ipv6_addresses_of_every_node(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "web", "--publish", "8186:80", f"{HELLO}:1")
    for host in clean.layout.all_hosts():
        address = clean.layout.address6(host.address)
        clean.until(partial(answers, f"[{address}]:8186"), f"an answer of {host.name}")
        clean.until(partial(answers, f"{host.address}:8186"), f"an answer of {host.name}")
    clean.shoal("service", "update", "--publish-rm", "80", "--publish-add", "[::]:8187:80", "web")
    for host in clean.layout.all_hosts():
        clean.until(partial(answers, f"[{clean.layout.address6(host.address)}]:8187"), f"an answer of {host.name}")
        assert not answers(f"{host.address}:8187")


def test_a_fixed_address_of_each_family(clean: Cluster) -> None:
    clean.shoal("network", "create", "--ipv6", "--subnet", "10.66.1.0/24", "--subnet", SUBNET6, "lab")
    fixed = "name=lab,ip=10.66.1.7,ip6=fd5a:1:2:3::beef"
    clean.shoal("service", "create", "--name", "web", "--network", fixed, f"{HELLO}:1")
    (row,) = clean.tasks("web")
    assert row["addresses"] == ["10.66.1.7", "fd5a:1:2:3::beef"]
    clean.shoal("service", "create", "--name", "client", "--network", "lab", *CLIENT)
    (client,) = clean.pids("client").values()
    clean.until(partial(fetched, client, "[fd5a:1:2:3::beef]"), "an answer at the address")
    taken = clean.run("service", "create", "--name", "other", "--network", fixed, f"{HELLO}:1")
    assert 'fd5a:1:2:3::beef is already requested by service "web"' in taken.stderr


def test_what_cannot_be_is_refused_by_name(clean: Cluster) -> None:
    for arguments, reason in ((("--ipv6", "--subnet", str(clean.layout.subnet6)), "a route of node h"),):
        refused = clean.run("network", "create", *arguments, "more")
        assert refused.returncode != 0
        assert reason in refused.stderr, refused.stderr
