"""Network modes, addresses and names as services of a real cluster have them."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

from tests.integration.cluster.harness import Cluster, inside

HELLO = "registry:5000/hello:1"


def only_pid(cluster: Cluster, service: str) -> int:
    (pid,) = cluster.pids(service).values()
    return pid


def interfaces(pid: int) -> set[str]:
    return {line.split(":")[0].strip() for line in inside(pid, "cat", "/proc/net/dev").stdout.splitlines()[2:]}


def lookup(pid: int, name: str) -> set[str]:
    """Addresses of a name as the container's own resolver library finds them."""
    _, _, answer = inside(pid, "busybox", "nslookup", name).stdout.partition("Name:")
    return {line.split()[1] for line in answer.splitlines() if line.startswith("Address")}


def endpoints(cluster: Cluster, network: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.json("network", "inspect", network)[0]["endpoints"]
    return found


def test_the_hosts_network_no_network_and_the_nodes_own_pool(clean: Cluster) -> None:
    for mode in ("host", "none", "bridge"):
        clean.shoal("service", "create", "--name", f"on-{mode}", "--network", mode, HELLO)
    (task,) = clean.tasks("on-host")
    host = clean.host_of(task["node"])
    pid = only_pid(clean, "on-host")
    assert {"eth0", "shoal-vx"} <= interfaces(pid)
    assert str(host.address) in inside(pid, "busybox", "ip", "addr").stdout
    assert "169.254.1.1" not in inside(pid, "cat", "/etc/resolv.conf").stdout

    pid = only_pid(clean, "on-none")
    assert interfaces(pid) == {"lo"}
    assert inside(pid, "busybox", "ping", "-c1", "-W1", "127.0.0.1").returncode == 0

    pid = only_pid(clean, "on-bridge")
    assert interfaces(pid) == {"lo", "eth0"}
    assert "172.30." in inside(pid, "busybox", "ip", "addr").stdout
    assert inside(pid, "busybox", "ping", "-c1", "-W3", str(host.address)).returncode == 0


def test_a_bridge_network_ends_at_the_node(clean: Cluster) -> None:
    clean.shoal("network", "create", "--driver", "bridge", "local")
    for name in ("web", "client"):
        clean.shoal("service", "create", "--name", name, "--mode", "global", "--network", "local", HELLO)
    web = {row["node"]: row["addresses"][0] for row in clean.tasks("web")}
    nodes = {row["id"]: row["node"] for row in clean.tasks("client")}
    for task, pid in clean.pids("client").items():
        for node, address in web.items():
            ping = inside(pid, "busybox", "ping", "-c1", "-W1", address)
            assert (ping.returncode == 0) == (node == nodes[task]), f"{nodes[task]} to {node}: {ping.stdout}"
        assert lookup(pid, "tasks.web") == {web[nodes[task]]}


def test_addresses_ranges_and_what_is_refused(clean: Cluster) -> None:
    options = ("--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.128/25", "--gateway", "10.77.0.129")
    created = clean.run("network", "create", *options, "office")
    assert created.returncode == 0 and "routes nothing" in created.stderr
    attachment = "name=office,alias=database,ip=10.77.0.7"
    clean.shoal("service", "create", "--name", "db", "--network", attachment, HELLO)
    assert clean.tasks("db")[0]["addresses"] == ["10.77.0.7"]
    clean.shoal("service", "create", "--name", "app", "--replicas", "3", "--network", "office", HELLO)
    given = {IPv4Address(address) for row in clean.tasks("app") for address in row["addresses"]}
    assert all(address in IPv4Network("10.77.0.128/25") for address in given)
    assert IPv4Address("10.77.0.129") not in given
    pid = next(iter(clean.pids("app").values()))
    assert lookup(pid, "tasks.db") == {"10.77.0.7"}
    assert lookup(pid, "database")

    second = clean.run("service", "create", "--name", "db2", "--network", attachment, HELLO)
    assert second.returncode == 2 and 'already requested by service "db"' in second.stderr
    scaled = clean.run("service", "update", "--replicas", "2", "db")
    assert scaled.returncode == 2 and "a static address requires a service with one task" in scaled.stderr
    underlay = clean.run("network", "create", "--subnet", str(clean.layout.subnet), "lan")
    assert underlay.returncode == 2 and "of node" in underlay.stderr
    both = clean.run("service", "create", "--network", "host", "--network", "office", HELLO)
    assert both.returncode == 2 and "cannot be combined" in both.stderr
    clean.shoal("service", "update", "--force", "db")
    assert clean.tasks("db")[0]["addresses"] == ["10.77.0.7"]


def test_connect_disconnect_inspect_and_prune(clean: Cluster) -> None:
    for name in ("front", "back", "unused"):
        clean.shoal("network", "create", "--internal", "--label", f"which={name}", name)
    clean.shoal("service", "create", "--name", "web", "--network", "front", HELLO)
    clean.shoal("service", "create", "--name", "spy", "--network", "back", HELLO)
    assert not lookup(only_pid(clean, "spy"), "web")
    clean.shoal("network", "connect", "--alias", "site", "back", "web")
    (task,) = clean.tasks("web")
    assert len(task["addresses"]) == 2
    (shown,) = [each for each in endpoints(clean, "back") if each["task_name"].startswith("web.")]
    assert (shown["address"], shown["state"], shown["node_hostname"]) == (
        task["addresses"][1],
        "running",
        task["node"],
    )
    pid = only_pid(clean, "spy")
    clean.until(lambda: lookup(pid, "tasks.web") == {task["addresses"][1]}, "the new name")
    assert lookup(pid, "site")
    clean.shoal("network", "disconnect", "back", "web")
    clean.until(lambda: not lookup(pid, "tasks.web"), "the name to go")
    assert clean.run("network", "disconnect", "back", "web").returncode == 2
    clean.shoal("service", "update", "--network-add", "name=back,alias=place", "--network-rm", "front", "web")
    clean.until(lambda: lookup(pid, "place") and not lookup(pid, "site"), "the other alias")
    clean.shoal("service", "update", "--network-rm", "back", "--network-add", "front", "web")
    assert [row["name"] for row in clean.json("network", "ls", "--filter", "label=which=back")] == ["back"]
    in_use = clean.run("network", "rm", "front")
    assert in_use.returncode == 1 and "in use by web" in in_use.stderr
    assert clean.shoal("network", "prune", "--force", "--filter", "label=which").split() == ["unused"]


def test_every_node_reaches_every_other_one_and_ports_answer(clean: Cluster) -> None:
    clean.shoal("network", "create", "front")
    publish = "mode=host,target=80,published=8080"
    clean.shoal(
        *("service", "create", "--name", "web", "--mode", "global", "--network", "front", "--publish", publish, HELLO)
    )
    rows = clean.json("network", "check")
    assert {row["verdict"] for row in rows} == {"ok"}, rows
    names = {host.name for host in clean.layout.all_hosts()}
    for kind, mtu in (("underlay", 1500), ("overlay", 1450)):
        paths = {(row["from"], row["to"]): row["mtu"] for row in rows if row.get("path") == kind}
        assert paths == {(one, other): mtu for one in names for other in names - {one}}
    assert {row["node"] for row in rows if row.get("port") == 8080} == names
