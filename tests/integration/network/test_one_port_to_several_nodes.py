"""A client that uses one and the same port towards several nodes at once, as a load balancer in front of them may."""

import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskAddress
from tests.integration.network.netns_hosts import Host, Hosts, endpoint, inside, ip, run, task

MESH = NetworkAssignment(
    network_id="ingress", name="ingress", subnet="10.255.0.0/16", subnet6="fd99:255::/64", mesh=True
)
NODES = {4: ["172.31.0.1", "172.31.0.2", "172.31.0.3"], 6: ["fd31::1", "fd31::2", "fd31::3"]}
CLIENT = {4: "172.31.0.100", 6: "fd31::100"}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
PORTS = range(20_000, 20_060)
PUBLISHED, TARGET = 8080, 80


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


@pytest.fixture
def three(stack: ExitStack) -> Hosts:
    """Three hosts and a client, with addresses of both families."""
    hosts = stack.enter_context(Hosts(3))
    for number, descriptor in ((1, hosts.one.descriptor), (2, hosts.two.descriptor), (3, hosts.all[2].descriptor)):
        ip(descriptor, f"-6 addr add fd31::{number}/64 dev eth0 nodad")
    ip(hosts.client, "-6 addr add fd31::100/64 dev eth0 nodad")
    hosts.start()
    return hosts


def behind(number: int, host: Host) -> TaskEndpoint:
    made = endpoint(number, host)
    address = TaskAddress(network_id="ingress", address=f"10.255.0.{number}", address6=f"fd99:255::{number}")
    made.addresses.append(address)
    return made


def service() -> ServiceEndpoint:
    ports = [
        PublishedPort(protocol=protocol, target=TARGET, published=PUBLISHED)
        for protocol in (PublishedPort.TCP, PublishedPort.UDP)
    ]
    return ServiceEndpoint(service_id="id-of-web", service_name="web", mesh_ports=ports)


@contextmanager
def echo(descriptor: int) -> Iterator[list[str]]:
    """Answers each connection and each datagram of both families, and keeps connections; the list has its clients."""
    with inside(descriptor):
        listener = socket.create_server(("::", TARGET), family=socket.AF_INET6, dualstack_ipv6=True, backlog=500)
        datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        datagrams.bind(("::", TARGET))
    seen: list[str] = []
    held: list[socket.socket] = []
    end, ended = socket.socketpair()
    selector = selectors.DefaultSelector()
    for each in (listener, datagrams, ended):
        selector.register(each, selectors.EVENT_READ)

    def serve() -> None:
        while True:
            for key, _ in selector.select():
                if key.fileobj is ended:
                    return
                if key.fileobj is listener:
                    connection, client = listener.accept()
                    seen.append(client[0])
                    held.append(connection)
                    selector.register(connection, selectors.EVENT_READ)
                elif key.fileobj is datagrams:
                    data, client = datagrams.recvfrom(1000)
                    seen.append(client[0])
                    datagrams.sendto(data, client)
                else:
                    connection = key.fileobj  # type: ignore[assignment]
                    if data := connection.recv(1000):
                        connection.sendall(data)
                    else:
                        selector.unregister(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield seen
    finally:
        end.close()
        thread.join()
        selector.close()
        for each in (listener, datagrams, ended, *held):
            each.close()


def sockets(
    stack: ExitStack, descriptor: int, kind: socket.SocketKind, version: int, nodes: Sequence[str]
) -> list[tuple[socket.socket, str]]:
    """For each port and node a socket of that port, not connected yet, with the node's address."""
    made = []
    with inside(descriptor):
        for port in PORTS:
            for node in nodes:
                each = stack.enter_context(socket.socket(FAMILIES[version], kind))
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                each.settimeout(3)
                each.bind(("", port) if version == 4 else ("::", port))
                made.append((each, node))
    return made


def lost(opened: Sequence[tuple[socket.socket, str]]) -> list[str]:
    """Connect all, then exchange data with all, twice; why those failed that did."""
    failures, live = [], []
    for each, node in opened:
        try:
            each.connect((node, PUBLISHED))
            live.append((each, node))
        except OSError as error:
            failures.append(f"{each.getsockname()[1]} to {node}: {error!r}")
    for turn in range(2):
        for each, node in live:
            question = f"{turn} {each.getsockname()[1]} to {node}".encode()
            try:
                each.sendall(question)
                if (answer := each.recv(1000)) != question:
                    failures.append(f"{question!r}: {answer!r}")
            except OSError as error:
                failures.append(f"{question!r}: {error!r}")
    return failures


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("nodes", [(1, 2), (1, 2, 3)], ids=["two others", "two others and its own"])
def test_no_connection_is_lost_and_the_clients_address_stays(
    three: Hosts, stack: ExitStack, version: int, kind: socket.SocketKind, nodes: tuple[int, ...]
) -> None:
    web = behind(1, three.all[2])
    three.apply([MESH], [web], service())
    clients = stack.enter_context(echo(three.attach(three.all[2], task(web)).netns_fd))
    asked = [NODES[version][number - 1] for number in nodes]
    assert not lost(sockets(stack, three.client, kind, version, asked))
    assert {client.removeprefix("::ffff:") for client in clients} == {CLIENT[version]}


@pytest.mark.parametrize("version", [4, 6])
def test_nor_by_a_container_or_a_node_that_is_the_client(three: Hosts, stack: ExitStack, version: int) -> None:
    web, other = behind(1, three.all[2]), behind(2, three.one)
    other.service_id, other.service_name = "id-of-other", "other"
    three.apply([MESH], [web, other], service())
    stack.enter_context(echo(three.attach(three.all[2], task(web)).netns_fd))
    container = three.attach(three.one, task(other)).netns_fd
    for client_ns in (container, three.one.descriptor):
        with ExitStack() as opened:
            assert not lost(sockets(opened, client_ns, socket.SOCK_STREAM, version, NODES[version]))


def test_the_second_connection_after_the_first_one_has_ended(three: Hosts, stack: ExitStack) -> None:
    web = behind(1, three.all[2])
    three.apply([MESH], [web], service())
    stack.enter_context(echo(three.attach(three.all[2], task(web)).netns_fd))
    for node in NODES[4]:
        with ExitStack() as opened:
            assert not lost(sockets(opened, three.client, socket.SOCK_STREAM, 4, [node]))


def test_datagrams_find_another_task_when_theirs_is_withdrawn(three: Hosts, stack: ExitStack) -> None:
    """Flows are forgotten on the node of the task too, whichever zone they are in."""
    first, second = behind(1, three.all[2]), behind(2, three.all[2])
    second.ready = False
    three.apply([MESH], [first, second], service())
    seen = [stack.enter_context(echo(three.attach(three.all[2], task(each)).netns_fd)) for each in (first, second)]
    opened = sockets(stack, three.client, socket.SOCK_DGRAM, 4, NODES[4])
    assert not lost(opened)
    first.ready, second.ready = False, True
    three.apply([MESH], [first, second], service())
    assert not lost(opened)
    assert len(seen[1]) >= len(opened)


def test_each_node_has_a_zone_and_it_comes_back(three: Hosts, stack: ExitStack) -> None:
    web = behind(1, three.all[2])
    three.apply([MESH], [web], service())
    stack.enter_context(echo(three.attach(three.all[2], task(web)).netns_fd))
    host = three.all[2]
    for harm in ("flush map inet shoal ingress_zones", "flush chain inet shoal ingress_zone"):
        run(host.descriptor, "nft", *harm.split())
        assert host.call(host.network.reconcile()), harm
        assert not host.call(host.network.reconcile()), harm
    assert not lost(sockets(stack, three.client, socket.SOCK_STREAM, 4, NODES[4]))
