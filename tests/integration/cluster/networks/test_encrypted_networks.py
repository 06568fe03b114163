"""Encrypted networks on this machine's kernel: refused by name where it lacks WireGuard. That they encrypt is proven
in a virtual machine (`tests/vm/encryption.py`)."""

from pathlib import Path

from agent.network.netlink import wireguard
from agent.network.netlink.connection import Connection
from tests.integration.cluster.harness import Cluster


def has_wireguard() -> bool:
    connection = Connection(wireguard.GENERIC)
    try:
        return wireguard.family(connection) is not None
    finally:
        connection.close()


def test_an_encrypted_network_is_refused_by_the_name_of_what_is_missing(clean: Cluster, tmp_path: Path) -> None:
    names = {node["hostname"] for node in clean.json("node", "ls")}
    if has_wireguard():  # whose kernel has it gets the network
        clean.shoal("network", "create", "--opt", "encrypted", "bank")
        return
    assert clean.json("node", "inspect", min(names))[0]["status"]["description"].get("features", []) == []
    refused = clean.run("network", "create", "--opt", "encrypted", "bank")
    assert refused.returncode == 2
    assert "options.encrypted: no node supports encrypted networks" in refused.stderr
    assert all(name in refused.stderr for name in names)
    assert "load the module wireguard" in refused.stderr
    file = tmp_path / "stack.yaml"
    file.write_text(
        "services: {web: {image: registry:5000/hello:1}}\nnetworks: {default: {driver_opts: {encrypted: ''}}}\n"
    )
    refused = clean.run("stack", "deploy", "-c", str(file), "shop")
    assert refused.returncode == 2
    assert "no node supports encrypted networks" in refused.stderr
    rotated = clean.run("cluster", "rotate-network-keys")
    assert rotated.returncode == 1
    assert "no encrypted network exists" in rotated.stderr
    clean.shoal("network", "create", "--opt", "encrypted=false", "street")
