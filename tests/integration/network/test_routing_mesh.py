"""Ports that every node answers, whichever runs the task: the client's address arrives, whatever way it came."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskAddress
from tests.integration.network.netns_hosts import (
    Host,
    Hosts,
    endpoint,
    inside,
    network,
    refused,
    run,
    task,
    tcp_echo,
    tcp_exchange,
)

MESH = NetworkAssignment(network_id="ingress", name="ingress", subnet="10.255.0.0/16", mesh=True)
ONE, TWO = "172.31.0.1", "172.31.0.2"


def behind(number: int, host: Host, *networks: int, ready: bool = True) -> TaskEndpoint:
    """A task that the mesh leads to, at 10.255.0.<number> there."""
    made = endpoint(number, host, *networks, ready=ready)
    made.addresses.append(TaskAddress(network_id="ingress", address=f"10.255.0.{number}"))
    return made


def service(*ports: PublishedPort) -> ServiceEndpoint:
    return ServiceEndpoint(service_id="id-of-web", service_name="web", mesh_ports=ports)


def port(published: int = 8080, target: int = 80, **more: object) -> PublishedPort:
    return PublishedPort(protocol=PublishedPort.TCP, target=target, published=published, **more)  # type: ignore[arg-type]


@contextmanager
def serving(hosts: Hosts, host: Host, of: TaskEndpoint) -> Iterator[list[str]]:
    with tcp_echo(hosts.attach(host, task(of)).netns_fd, 80) as clients:
        yield clients


@pytest.fixture
def stack(hosts: Hosts) -> Iterator[ExitStack]:
    hosts.start()
    with ExitStack() as held:
        yield held


def test_a_node_without_a_task_leads_to_the_one_that_has_it_and_the_clients_address_arrives(
    hosts: Hosts, stack: ExitStack
) -> None:
    web = behind(1, hosts.two)
    hosts.apply([MESH], [web], service(port()))
    clients = stack.enter_context(serving(hosts, hosts.two, web))
    assert tcp_exchange(hosts.client, ONE, 8080, b"x" * 300_000, 10) == b"x" * 300_000
    assert tcp_exchange(hosts.client, TWO, 8080) == b"hello"
    assert clients == ["172.31.0.100", "172.31.0.100"]


def test_tasks_on_several_nodes_are_reached_by_each_node(hosts: Hosts, stack: ExitStack) -> None:
    near, far = behind(1, hosts.one), behind(2, hosts.two)
    hosts.apply([MESH], [near, far], service(port()))
    seen = [stack.enter_context(serving(hosts, host, of)) for host, of in ((hosts.one, near), (hosts.two, far))]
    for address in (ONE, TWO):
        for _ in range(20):
            assert tcp_exchange(hosts.client, address, 8080) == b"hello"
    assert min(map(len, seen)) > 5
    assert {client for clients in seen for client in clients} == {"172.31.0.100"}


def test_from_the_nodes_themselves_and_from_containers(hosts: Hosts, stack: ExitStack) -> None:
    web, other, alone = behind(1, hosts.two), endpoint(5, hosts.one, 2, service="other"), endpoint(6, hosts.one)
    hosts.apply([MESH, network(2)], [web, other], service(port()))
    clients = stack.enter_context(serving(hosts, hosts.two, web))
    container = hosts.attach(hosts.one, task(other)).netns_fd
    without_network = hosts.attach(hosts.one, task(alone)).netns_fd
    for client_ns, address in (
        (hosts.one.descriptor, ONE),
        (hosts.one.descriptor, "127.0.0.1"),
        (hosts.one.descriptor, TWO),
        (hosts.two.descriptor, ONE),
        (hosts.two.descriptor, "127.0.0.1"),
        (container, ONE),
        (container, TWO),
        (without_network, ONE),
        (without_network, TWO),
    ):
        assert tcp_exchange(client_ns, address, 8080) == b"hello", address
    # The one that is forwarded back to itself comes from the node between.
    expected = [ONE, ONE, ONE, ONE, "169.254.1.1", "10.99.2.5", ONE, ONE, ONE]
    assert clients == expected


def test_a_task_reaches_itself_by_its_own_node(hosts: Hosts, stack: ExitStack) -> None:
    web = behind(1, hosts.one, 1)
    hosts.apply([MESH, network(1)], [web], service(port()))
    inner = hosts.attach(hosts.one, task(web)).netns_fd
    stack.enter_context(tcp_echo(inner, 80))
    assert tcp_exchange(inner, ONE, 8080) == b"hello"
    assert tcp_exchange(inner, TWO, 8080) == b"hello"


def test_tasks_do_not_reach_each_other_by_the_meshs_network(hosts: Hosts, stack: ExitStack) -> None:
    one, two = behind(1, hosts.one), behind(2, hosts.two)
    hosts.apply([MESH], [one, two], service(port()))
    inner = hosts.attach(hosts.one, task(one)).netns_fd
    stack.enter_context(tcp_echo(inner, 81))
    stack.enter_context(serving(hosts, hosts.two, two))
    other = hosts.attach(hosts.two, task(two)).netns_fd
    assert refused(other, "10.255.0.1", 81)
    assert refused(inner, "10.255.0.2", 80)


def test_without_a_task_a_connection_is_refused_at_once(hosts: Hosts, stack: ExitStack) -> None:
    hosts.apply([MESH], [], service(port()))
    for client_ns in (hosts.client, hosts.one.descriptor):
        with inside(client_ns):
            prober = socket.socket()
        with prober:
            prober.settimeout(2)
            with pytest.raises(ConnectionRefusedError):
                prober.connect((ONE, 8080))


def test_a_port_of_one_address_answers_there_only(hosts: Hosts, stack: ExitStack) -> None:
    web = behind(1, hosts.two)
    hosts.apply([MESH], [web], service(port(host_address="127.0.0.1")))
    stack.enter_context(serving(hosts, hosts.two, web))
    assert tcp_exchange(hosts.one.descriptor, "127.0.0.1", 8080) == b"hello"
    assert refused(hosts.client, ONE, 8080)


def test_local_traffic_stays_on_its_node(hosts: Hosts, stack: ExitStack) -> None:
    web = behind(1, hosts.two)
    hosts.apply([MESH], [web], service(port(local_only=True)))
    clients = stack.enter_context(serving(hosts, hosts.two, web))
    assert tcp_exchange(hosts.client, TWO, 8080) == b"hello"
    assert refused(hosts.client, ONE, 8080)
    assert clients == ["172.31.0.100"]


def test_datagrams_and_their_answers(hosts: Hosts, stack: ExitStack) -> None:
    web = behind(1, hosts.two)
    datagrams = PublishedPort(protocol=PublishedPort.UDP, target=5000, published=5353)
    hosts.apply([MESH], [web], service(datagrams))
    with inside(hosts.attach(hosts.two, task(web)).netns_fd):
        receiver = socket.socket(type=socket.SOCK_DGRAM)
    with inside(hosts.client):
        sender = socket.socket(type=socket.SOCK_DGRAM)
    with receiver, sender:
        for each in (receiver, sender):
            each.settimeout(2)
        receiver.bind(("", 5000))
        sender.sendto(b"question", (ONE, 5353))
        data, client = receiver.recvfrom(100)
        receiver.sendto(b"answer", client)
        assert (data, client[0]) == (b"question", "172.31.0.100")
        assert sender.recvfrom(100) == (b"answer", (ONE, 5353))


def test_datagrams_go_on_to_another_task_when_theirs_is_withdrawn(hosts: Hosts, stack: ExitStack) -> None:
    one, two = behind(1, hosts.one), behind(2, hosts.two)
    datagrams = PublishedPort(protocol=PublishedPort.UDP, target=5000, published=5353)
    sockets = []
    hosts.apply([MESH], [one, behind(2, hosts.two, ready=False)], service(datagrams))
    for host, of in ((hosts.one, one), (hosts.two, two)):
        with inside(hosts.attach(host, task(of)).netns_fd):
            sockets.append(stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)))
        sockets[-1].bind(("", 5000))
        sockets[-1].settimeout(2)
    with inside(hosts.client):
        sender = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    sender.sendto(b"first", (ONE, 5353))
    assert sockets[0].recvfrom(100)[0] == b"first"
    hosts.apply([MESH], [behind(1, hosts.one, ready=False), two], service(datagrams))
    sender.sendto(b"second", (ONE, 5353))
    assert sockets[1].recvfrom(100)[0] == b"second"


def test_rules_routes_and_marks_come_back(hosts: Hosts, stack: ExitStack) -> None:
    web = behind(1, hosts.two)
    hosts.apply([MESH], [web], service(port()))
    stack.enter_context(serving(hosts, hosts.two, web))
    for host, harm in (
        (hosts.two, "ip rule del priority 21353"),
        (hosts.two, "ip route flush table all proto 83"),
        (hosts.one, "nft delete table inet shoal"),
        (hosts.two, "nft flush chain inet shoal restore_ingress_mark"),
        (hosts.two, "nft flush map inet shoal ingress_marks"),
    ):
        run(host.descriptor, *harm.split())
        assert host.call(host.network.reconcile()), harm
        assert not host.call(host.network.reconcile()), harm
        assert tcp_exchange(hosts.client, ONE, 8080) == b"hello", harm


def test_the_end_of_the_mesh_leaves_nothing(hosts: Hosts, stack: ExitStack) -> None:
    web = behind(1, hosts.two)
    hosts.apply([MESH], [web], service(port()))
    hosts.apply([network(1)], [])
    assert refused(hosts.client, ONE, 8080)
    for host in (hosts.one, hosts.two):
        assert not host.call(host.network.reconcile())
        assert "10.255" not in host.nft("list table inet shoal")
