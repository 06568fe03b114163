"""A host is cut off while the cluster changes: what runs goes on, and soon after its return its tables are right."""

from pathlib import Path

from cli.playground import virtual_network
from tests.integration.cluster.harness import Cluster, inside

HELLO = "registry:5000/hello:1"


def client_on(cluster: Cluster, hostname: str) -> int | None:
    """The process of the client on a host, None while it has none that runs."""
    rows = [row for row in cluster.tasks("client") if row["node"] == hostname and row["state"] == "running"]
    return cluster.inspect(rows[0]["id"])["status"]["pid"] if rows else None


def sees(cluster: Cluster, hostname: str, addresses: set[str]) -> bool:
    """Whether a container of the host finds exactly these tasks by name, and reaches each."""
    pid = client_on(cluster, hostname)
    if pid is None:
        return False
    _, _, answer = inside(pid, "busybox", "nslookup", "tasks.api").stdout.partition("Name:")
    found = {line.split()[1] for line in answer.splitlines() if line.startswith("Address")}
    return found == addresses and all(
        inside(pid, "busybox", "ping", "-c1", "-W1", address).returncode == 0 for address in addresses
    )


def test_tables_are_right_again_soon_after_a_partition(clean: Cluster) -> None:
    clean.shoal("network", "create", "--internal", "front")
    clean.shoal("service", "create", "--name", "client", "--mode", "global", "--network", "front", HELLO)
    away = clean.host_of("h3")
    before = client_on(clean, "h3")
    virtual_network.set_link_state(clean.layout, away, connected=False)
    clean.shoal(
        *("service", "create", "--name", "api", "--replicas", "2", "--network", "front"),
        *("--constraint", "node.hostname != h3", HELLO),
    )
    addresses = {row["addresses"][0] for row in clean.tasks("api")}
    clean.until(
        lambda: {row["hostname"]: row["status"] for row in clean.json("node", "ls")}["h3"] == "down",
        "the node to be down",
    )
    assert sees(clean, "h1", addresses)
    assert Path(f"/proc/{before}").exists(), "what runs on the lost host goes on"
    virtual_network.set_link_state(clean.layout, away, connected=True)
    clean.until(lambda: sees(clean, "h3", addresses), "the tables of the returned host")
