"""A task that ends without being drained, as by a fault: its new clients reach another one."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort, VirtualAddress
from shoal.api.v1.task_pb2 import TaskAddress
from tests.integration.network.netns_hosts import (
    Host,
    Hosts,
    endpoint,
    inside,
    ip,
    network,
    run,
    task,
    tcp_echo,
    until,
)
from tests.integration.network.test_ipv6_between_hosts import echo

MESH = NetworkAssignment(
    network_id="ingress", name="ingress", subnet="10.255.0.0/16", subnet6="fd99:255::/64", mesh=True
)
PLACES = {
    "virtual address": ("10.99.1.200", 80),
    "virtual address of IPv6": ("fd99:1::c8", 80),
    "another node's port": ("172.31.0.1", 8080),
    "its own node's port": ("172.31.0.2", 8080),
    "another node's port of IPv6": ("fd31::1", 8080),
}
CLIENTS = 20
TIMEOUT_SECONDS = 15.0


@pytest.fixture
def hosts6(hosts: Hosts) -> Iterator[Hosts]:
    for descriptor, number in ((hosts.one.descriptor, 1), (hosts.two.descriptor, 2), (hosts.client, 100)):
        ip(descriptor, f"-6 addr add fd31::{number}/64 dev eth0 nodad")
    hosts.start()
    yield hosts


def net() -> NetworkAssignment:
    made = network(1)
    made.subnet6 = "fd99:1::/64"
    return made


def web(number: int, host: Host, *, ready: bool = True) -> TaskEndpoint:
    made = endpoint(number, host, 1, ready=ready)
    made.addresses[0].address6 = f"fd99:1::{number}"
    made.addresses.append(
        TaskAddress(network_id="ingress", address=f"10.255.0.{number}", address6=f"fd99:255::{number}")
    )
    return made


def service() -> ServiceEndpoint:
    return ServiceEndpoint(
        service_id="id-of-web",
        service_name="web",
        virtual_addresses=[VirtualAddress(network_id="net1", address="10.99.1.200", address6="fd99:1::c8")],
        mesh_ports=[PublishedPort(protocol=PublishedPort.TCP, target=80, published=8080)],
    )


class Clients:
    """Connections that are opened at the same time; `outcomes` has each one's answer, or its error."""

    def __init__(self, stack: ExitStack, descriptor: int, place: tuple[str, int]) -> None:
        self.outcomes: list[str] = []
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        with inside(descriptor):
            sockets = [stack.enter_context(socket.socket(family)) for _ in range(CLIENTS)]
        self._threads = [threading.Thread(target=self._ask, args=(each, place)) for each in sockets]
        for thread in self._threads:
            thread.start()

    def _ask(self, client: socket.socket, place: tuple[str, int]) -> None:
        client.settimeout(TIMEOUT_SECONDS)
        try:
            client.connect(place)
            client.sendall(b"hello")
            self.outcomes.append(client.recv(100).decode())
        except OSError as error:
            self.outcomes.append(repr(error))

    def ended(self) -> list[str]:
        for thread in self._threads:
            thread.join()
        return self.outcomes


@pytest.mark.parametrize("place", PLACES)
def test_clients_who_are_led_to_it_come_to_another_one(hosts6: Hosts, place: str) -> None:
    hosts = hosts6
    kept, lost, other = web(1, hosts.one), web(2, hosts.two), endpoint(3, hosts.one, 1, service="other")
    other.addresses[0].address6 = "fd99:1::3"
    hosts.apply([net(), MESH], [kept, lost, other], service())
    with ExitStack() as stack:
        for host, each in ((hosts.one, kept), (hosts.two, lost)):
            stack.enter_context(echo(hosts.attach(host, task(each)).netns_fd, 80))
        client_ns = hosts.attach(hosts.one, task(other)).netns_fd if "virtual" in place else hosts.client
        hosts.two.call(hosts.two.network.detach(lost.task_id))
        clients = Clients(stack, client_ns, PLACES[place])
        until(lambda: len(clients.outcomes) >= 1)  # those that were led to the other one
        hosts.apply([net(), MESH], [kept, web(2, hosts.two, ready=False), other], service())
        assert clients.ended() == ["hello"] * CLIENTS


def test_a_moment_later_its_address_is_unreachable_and_another_task_may_have_it(hosts6: Hosts) -> None:
    hosts = hosts6
    lost, other = web(2, hosts.two), endpoint(3, hosts.one, 1, service="other")
    hosts.apply([net(), MESH], [lost, other], service())
    hosts.attach(hosts.two, task(lost))
    hosts.two.call(hosts.two.network.detach(lost.task_id))
    assert "blackhole 10.99.1.2" in run(hosts.two.descriptor, "ip", "route")
    assert "blackhole fd99:1::2" in run(hosts.two.descriptor, "ip", "-6", "route")
    assert not hosts.two.call(hosts.two.network.reconcile())
    successor = web(2, hosts.two)
    successor.task_id = "task000000009"
    hosts.apply([net(), MESH], [successor, other], service())
    with echo(hosts.attach(hosts.two, task(successor)).netns_fd, 80):
        client_ns = hosts.attach(hosts.one, task(other)).netns_fd
        with ExitStack() as stack:
            assert Clients(stack, client_ns, ("10.99.1.2", 80)).ended() == ["hello"] * CLIENTS
        for address in ("10.99.1.2", "fd99:1::2"):
            assert "dev sh-ask000000009" in run(hosts.two.descriptor, "ip", "route", "get", address)


def test_the_silence_ends(hosts6: Hosts) -> None:
    hosts = hosts6
    lost = web(2, hosts.two)
    hosts.apply([net(), MESH], [lost], service())
    hosts.attach(hosts.two, task(lost))
    hosts.two.call(hosts.two.network.detach(lost.task_id))
    hosts.apply([net(), MESH], [], service())
    for family in ("-4", "-6"):
        assert until(lambda family=family: "blackhole" not in run(hosts.two.descriptor, "ip", family, "route"))  # type: ignore[misc]


def test_a_task_that_no_client_was_led_to_is_unreachable_at_once(hosts6: Hosts) -> None:
    hosts = hosts6
    alone = endpoint(2, hosts.two, 1, service="alone")
    hosts.apply([net(), MESH], [alone], service())
    hosts.attach(hosts.two, task(alone))
    hosts.two.call(hosts.two.network.detach(alone.task_id))
    assert "blackhole" not in run(hosts.two.descriptor, "ip", "route")


def test_established_connections_stay_when_others_are_redirected(hosts6: Hosts) -> None:
    hosts = hosts6
    kept, lost, live = web(1, hosts.one), web(2, hosts.two), web(4, hosts.two)
    other = endpoint(3, hosts.one, 1, service="other")
    hosts.apply([net(), MESH], [live, other], service())
    with ExitStack() as stack:
        stack.enter_context(tcp_echo(hosts.attach(hosts.two, task(live)).netns_fd, 80))
        stack.enter_context(echo(hosts.attach(hosts.one, task(kept)).netns_fd, 80))
        hosts.attach(hosts.two, task(lost))
        client_ns = hosts.attach(hosts.one, task(other)).netns_fd
        with inside(client_ns):
            open_one = stack.enter_context(socket.create_connection(("10.99.1.200", 80), timeout=5))
        open_one.sendall(b"one")
        assert open_one.recv(100) == b"one"
        hosts.apply([net(), MESH], [lost, live, other], service())
        hosts.two.call(hosts.two.network.detach(lost.task_id))
        live.ready = False
        hosts.apply([net(), MESH], [lost, live, other], service())
        clients = Clients(stack, client_ns, ("10.99.1.200", 80))
        until(lambda: "[UNREPLIED]" in flows(hosts.one))
        hosts.apply([net(), MESH], [kept, live, other], service())
        assert clients.ended() == ["hello"] * CLIENTS
        open_one.sendall(b"two")
        assert open_one.recv(100) == b"two"


def flows(host: Host) -> str:
    """Tracked connections of the host, as the kernel lists them."""
    return run(host.descriptor, "cat", "/proc/net/nf_conntrack")
