"""Bad links between hosts (netem), and a protocol that the machine outside has no kernel for (SCTP)."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.vm.checking import Check
from tests.vm.cluster import (
    HELLO,
    HOSTS,
    background,
    http,
    in_host,
    pid_of,
    rows,
    running,
    shoal,
    underlay,
    until,
)

RETURN_SECONDS = 5.0
"""After which the tables are right again once a partition is over."""


@contextmanager
def link_with(host: str, *how: str) -> Iterator[None]:
    """What the host sends meets this (tc-netem(8))."""
    in_host(host, "tc", "qdisc", "replace", "dev", "eth0", "root", "netem", *how)
    try:
        yield
    finally:
        in_host(host, "tc", "qdisc", "del", "dev", "eth0", "root")


def states() -> dict[str, str]:
    return {row["hostname"]: row["status"] for row in rows("node", "ls")}


def addresses(service: str, host: str) -> set[str]:
    return {row["addresses"][0] for row in running(service) if row["node"] == host}


def routed(host: str) -> set[str]:
    """Containers' addresses on other hosts that the host has a route to."""
    lines = in_host(host, "ip", "route", "show", "dev", "shoal-vx", "proto", "83").splitlines()
    return {line.split()[0] for line in lines}


def check_loss_and_reordering() -> None:
    shoal("network", "create", "road")
    shoal("service", "create", "--name", "web", "--replicas", "2", "--network", "road", f"{HELLO}:1")
    bad = ("delay", "10ms", "5ms", "reorder", "25%", "50%", "loss", "5%")
    with link_with("h1", *bad), link_with("h2", *bad):
        shoal("service", "scale", "web=6")
        assert set(states().values()) == {"ready"}
        for host, other in (HOSTS, HOSTS[::-1]):
            pid = pid_of(next(row["id"] for row in running("web") if row["node"] == host))
            for address in addresses("web", other):
                assert "version: 1" in http(pid, address)
    for host, other in (HOSTS, HOSTS[::-1]):
        assert addresses("web", other) <= routed(host)


def check_return_of_a_partition() -> None:
    with link_with("h2", "loss", "100%"):
        until(lambda: states()["h2"] == "down", "h2 is down")
        shoal("service", "scale", "-d", "web=8")
        until(lambda: len(addresses("web", "h1")) >= 6, "tasks run on h1")
        desired = addresses("web", "h1")
        assert not desired <= routed("h2")
    started = time.monotonic()
    until(lambda: desired <= routed("h2"), "h2 has routes to all that runs on h1")
    took = time.monotonic() - started
    print(f"    right again after {took:.1f} s", flush=True)
    assert took <= RETURN_SECONDS
    until(lambda: states()["h2"] == "ready", "h2 is ready")
    shoal("service", "rm", "web")


_SERVER = """
import contextlib, socket
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
listener.bind(("0.0.0.0", 9000))
listener.listen()
print("listening", flush=True)
while True:
    connection, (address, _) = listener.accept()
    with contextlib.suppress(OSError):  # who only asks whether anything listens is gone
        connection.sendall(address.encode())
    connection.close()
"""
_CLIENT = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
client.settimeout(20)
client.connect((sys.argv[1], int(sys.argv[2])))
print(client.recv(100).decode())
"""


def check_sctp_ports() -> None:
    """Of one node, and of every node; the server sees the client's own address."""
    subprocess.run(["modprobe", "sctp"], check=True)
    shoal(
        *("service", "create", "--name", "signal", "--network", "road"),
        *("--publish", "mode=host,protocol=sctp,target=9000,published=9001"),
        *("--publish", "protocol=sctp,target=9000,published=9002", f"{HELLO}:1", "sleep", "1000"),
    )
    (row,) = running("signal")
    server = background(f"/proc/{pid_of(row['id'])}/ns/net", sys.executable, "-c", _SERVER)
    assert server.stdout is not None
    server.stdout.readline()
    try:
        own = [(row["node"], "9001")]
        for host, port in own + [(host, "9002") for host in HOSTS]:
            client = [sys.executable, "-c", _CLIENT, underlay(host), port]
            said = subprocess.run(client, capture_output=True, text=True, timeout=60, check=False)
            assert said.stdout.strip() == "198.18.0.254", f"{host}:{port}: {said.stdout}{said.stderr}"
        probed = [row for row in rows("network", "check") if row.get("protocol") == "sctp"]
        found = sorted((row["port"], row["verdict"]) for row in probed)
        assert found == [(9001, "ok"), (9002, "ok"), (9002, "ok")], probed
    finally:
        server.kill()
        server.wait()
    shoal("service", "rm", "signal")
    shoal("network", "rm", "road")


CHECKS: tuple[Check, ...] = (check_loss_and_reordering, check_return_of_a_partition, check_sctp_ports)
