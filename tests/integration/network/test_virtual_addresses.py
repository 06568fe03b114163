"""One address for all tasks of a service: in the kernel, over hosts that are network namespaces."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from shoal.api.v1.dispatcher_pb2 import ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import VirtualAddress
from tests.integration.network.netns_hosts import (
    Host,
    Hosts,
    endpoint,
    inside,
    network,
    refused,
    task,
    tcp_echo,
    tcp_exchange,
    until,
)

VIP = "10.99.1.200"


def service(name: str = "web", *addresses: str) -> ServiceEndpoint:
    places = [VirtualAddress(network_id=f"net{each.split('.')[2]}", address=each) for each in addresses or (VIP,)]
    return ServiceEndpoint(service_id=f"id-of-{name}", service_name=name, virtual_addresses=places)


class Running:
    """Tasks with an echo server on port 80 that remembers who came."""

    def __init__(self, hosts: Hosts, stack: ExitStack) -> None:
        self._hosts, self._stack = hosts, stack
        self.seen: dict[str, list[str]] = {}
        self.netns: dict[str, int] = {}

    def start(self, host: Host, *endpoints: TaskEndpoint) -> None:
        for each in endpoints:
            descriptor = self._hosts.attach(host, task(each)).netns_fd
            self.netns[each.task_id] = descriptor
            self.seen[each.task_id] = self._stack.enter_context(tcp_echo(descriptor, 80))

    def spread(self) -> Counter[str]:
        return Counter({task_id: len(clients) for task_id, clients in self.seen.items()})


@pytest.fixture
def running(hosts: Hosts) -> Iterator[Running]:
    hosts.start()
    with ExitStack() as stack:
        yield Running(hosts, stack)


def test_connections_are_spread_over_ready_tasks_of_all_hosts(hosts: Hosts, running: Running) -> None:
    near, far, waiting = (
        endpoint(1, hosts.one, 1),
        endpoint(2, hosts.two, 1),
        endpoint(3, hosts.two, 1, ready=False),
    )
    client = endpoint(9, hosts.one, 1, service="client")
    hosts.apply([network(1)], [near, far, waiting, client], service())
    running.start(hosts.one, near)
    running.start(hosts.two, far, waiting)
    client_ns = hosts.attach(hosts.one, task(client)).netns_fd
    for _ in range(60):
        assert tcp_exchange(client_ns, VIP, 80) == b"hello"
    counts = running.spread()
    assert counts[waiting.task_id] == 0
    assert min(counts[near.task_id], counts[far.task_id]) > 10
    assert set(running.seen[far.task_id]) == {"10.99.1.9"}


def test_a_withdrawn_task_keeps_its_connections_and_gets_no_new_ones(hosts: Hosts, running: Running) -> None:
    one, two = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    client = endpoint(9, hosts.one, 1, service="client")
    only_two = endpoint(1, hosts.one, 1, ready=False)
    hosts.apply([network(1)], [only_two, two, client], service())
    running.start(hosts.one, one)
    running.start(hosts.two, two)
    client_ns = hosts.attach(hosts.one, task(client)).netns_fd
    with inside(client_ns):
        kept = socket.create_connection((VIP, 80), timeout=2)
    with kept:
        hosts.apply([network(1)], [one, endpoint(2, hosts.two, 1, ready=False), client], service())
        for _ in range(10):
            assert tcp_exchange(client_ns, VIP, 80) == b"hello"
        assert running.spread() == {one.task_id: 10, two.task_id: 1}
        kept.sendall(b"still")
        assert kept.recv(10) == b"still"


def test_without_a_ready_task_a_connection_is_refused_at_once(hosts: Hosts, running: Running) -> None:
    client = endpoint(9, hosts.one, 1, service="client")
    hosts.apply([network(1)], [client], service())
    client_ns = hosts.attach(hosts.one, task(client)).netns_fd
    with inside(client_ns):
        prober = socket.socket()
    with prober:
        prober.settimeout(2)
        with pytest.raises(ConnectionRefusedError):
            prober.connect((VIP, 80))


def test_a_task_reaches_itself_by_its_services_address(hosts: Hosts, running: Running) -> None:
    one = endpoint(1, hosts.one, 1)
    hosts.apply([network(1)], [one], service())
    running.start(hosts.one, one)
    assert tcp_exchange(running.netns[one.task_id], VIP, 80) == b"hello"


def test_a_virtual_address_is_of_its_network_alone(hosts: Hosts, running: Running) -> None:
    one, stranger = endpoint(1, hosts.one, 1), endpoint(9, hosts.one, 2, service="stranger")
    hosts.apply([network(1), network(2)], [one, stranger], service())
    running.start(hosts.one, one)
    client_ns = hosts.attach(hosts.one, task(stranger)).netns_fd
    assert refused(client_ns, VIP, 80)
    assert refused(hosts.client, VIP, 80)
    assert not running.seen[one.task_id]


def test_elements_and_the_whole_table_come_back(hosts: Hosts, running: Running) -> None:
    one, client = endpoint(1, hosts.one, 1), endpoint(9, hosts.one, 1, service="client")
    hosts.apply([network(1)], [one, client], service())
    running.start(hosts.one, one)
    client_ns = hosts.attach(hosts.one, task(client)).netns_fd
    for harm in ("delete element inet shoal virtual_64 { 10.99.1.200 . 7 }", "flush table inet shoal", "flush ruleset"):
        hosts.one.nft(harm)
        assert hosts.one.call(hosts.one.network.reconcile())
        assert not hosts.one.call(hosts.one.network.reconcile())
        for _ in range(5):
            assert tcp_exchange(client_ns, VIP, 80) == b"hello"


def test_an_agent_that_starts_again_adopts_load_balancing(hosts: Hosts, running: Running) -> None:
    one, two = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    client = endpoint(9, hosts.one, 1, service="client")
    hosts.apply([network(1)], [one, two, client], service())
    running.start(hosts.one, one)
    running.start(hosts.two, two)
    client_ns = hosts.attach(hosts.one, task(client)).netns_fd
    hosts.one.stop()
    assert tcp_exchange(client_ns, VIP, 80) == b"hello"
    hosts.one.start()
    hosts.one.call(hosts.one.network.recover([task(one), task(client)]))
    assert tcp_exchange(client_ns, VIP, 80) == b"hello"
    hosts.apply([network(1)], [one, two, client], service())
    for _ in range(20):
        assert tcp_exchange(client_ns, VIP, 80) == b"hello"
    assert until(lambda: min(running.spread().values()) > 0)
