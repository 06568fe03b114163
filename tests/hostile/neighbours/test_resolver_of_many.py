"""A container that floods the node's resolver takes it from nobody else.

Bounds: while one container asks as fast as it can, by any of these ways, a neighbour has 19 of 20 answers within two
tries of a second; the agent's memory grows by less than 48 MB, and what it held for the flooder is freed with it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.integration.network.netns_hosts import Hosts, endpoint, inside, network, task, until
from tests.integration.network.test_names_in_containers import RESOLVER, upstream

MOST_BYTES = 48 << 20
SILENT = "172.31.0.99"
"""A resolver that nobody is."""

FLOOD = """
import socket, sys, time
kind, until = sys.argv[1], time.monotonic() + 12
head = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0"
known = head + b"\\3web\\0\\0\\1\\0\\1"
def names():
    number = 0
    while True:
        number += 1
        yield head + b"\\x08" + b"%08x" % number + b"\\0\\0\\1\\0\\1"
fresh = names()
client = socket.socket(type=socket.SOCK_DGRAM)
client.connect(("169.254.1.1", 53))
client.setblocking(False)
print("begun", flush=True)
if kind == "as one packet":
    client.setsockopt(socket.IPPROTO_UDP, 103, len(known))
    known = known * 60
elif kind == "of a byte":
    client.setsockopt(socket.IPPROTO_UDP, 103, 1)
    known = bytes(120)
while time.monotonic() < until:
    for _ in range(200):
        try:
            client.send(next(fresh) if kind == "never the same" else known)
        except OSError:
            pass
"""
PIPELINE = """
import socket, struct, sys, time
until = time.monotonic() + 12
query = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\3web\\0\\0\\1\\0\\1"
data = (struct.pack(">H", len(query)) + query) * 400
held = []
while len(held) < 300 and time.monotonic() < until - 9:
    client = socket.socket()
    client.settimeout(1)
    try:
        client.connect(("169.254.1.1", 53))
    except OSError:
        continue
    client.setblocking(False)
    held.append(client)
print("begun", flush=True)
while time.monotonic() < until:
    for client in held:
        try:
            client.send(data)
        except OSError:
            pass
"""


class Node:
    """A host with a flooder and a neighbour on one network, and names of a service there."""

    def __init__(self, hosts: Hosts, stack: ExitStack) -> None:
        self.hosts = hosts
        hosts.start()
        flooder, neighbour = endpoint(1, hosts.one, 1, service="flooder"), endpoint(2, hosts.one, 1)
        hosts.apply([network(1)], [flooder, neighbour])
        self.flooder = hosts.attach(hosts.one, task(flooder), resolvers=[SILENT]).netns_fd
        self.neighbour = hosts.attach(hosts.one, task(neighbour), resolvers=["172.31.0.100"]).netns_fd
        self.asked = stack.enter_context(upstream(hosts.client))

    @contextmanager
    def flood(self, program: str, *arguments: str) -> Iterator[None]:
        """The program runs in the flooder's namespace, twelve seconds at most."""
        where = f"--net=/proc/{os.getpid()}/fd/{self.flooder}"
        command = ["nsenter", where, sys.executable, "-c", program, *arguments]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "begun\n"
            yield
        finally:
            running.kill()
            running.communicate()

    def dropped(self) -> int:
        """Of the flooder's questions, by our rules."""
        counters = re.findall(r"counter packets (\d+)", self.hosts.one.nft("list set inet shoal dns_query_floods"))
        return sum(map(int, counters))

    def answers(self, name: str, count: int, *, tcp: bool = False) -> int:
        """Of so many questions of the neighbour, how many are answered in two tries (resolv.conf(5))."""
        return sum(self._answered(name, tcp) or self._answered(name, tcp) for _ in range(count))

    def _answered(self, name: str, tcp: bool) -> bool:
        query = dns.message.make_query(name, "A")
        with inside(self.neighbour):
            try:
                answer = (dns.query.tcp if tcp else dns.query.udp)(query, RESOLVER, timeout=1)
            except (dns.exception.Timeout, OSError, EOFError):
                return False
        return answer.rcode() == dns.rcode.NOERROR


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Hosts() as hosts, ExitStack() as stack:
        yield Node(hosts, stack)


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("kind", ["the same", "never the same", "as one packet", "of a byte"])
def test_a_flood_of_questions(node: Node, kind: str) -> None:
    before = memory()
    dropped = node.dropped()
    with node.flood(FLOOD, kind):
        assert until(lambda: node.dropped() > dropped + 5_000)
        assert node.answers("web", 40) >= 38
        assert memory() - before < MOST_BYTES


def test_the_node_says_who_floods(node: Node) -> None:
    host = node.hosts.one
    before = node.dropped()
    with node.flood(FLOOD, "the same"):
        assert until(lambda: node.dropped() > before + 5_000)
    host.call(host.network.maintenance.inspect_host())
    (reported,) = (each for each in host.network.condition.current.problems if "DNS query limit" in each)
    assert reported.startswith("task task000000001 exceeds the DNS query limit; more than 10")


def test_connections_whose_answers_nobody_reads(node: Node) -> None:
    before = memory()
    with node.flood(PIPELINE):
        assert node.answers("web", 20) >= 19
        assert node.answers("web", 20, tcp=True) >= 19
        assert memory() - before < MOST_BYTES
    held = node.hosts.one.network._parts.dns._connections
    assert until(lambda: held.in_use == 0, 15)


def test_questions_that_no_resolver_answers(node: Node) -> None:
    """The flooder's own resolver is silent; the neighbour's answers."""
    with node.flood(FLOOD, "never the same"):
        assert until(lambda: node.hosts.one.network._parts.dns._forwards.in_use > 200)
        assert node.answers("example.org", 20) >= 19
