"""Containers with IPv6 beside IPv4, on two hosts whose underlay is IPv4: reach, isolation, balancing, ports, repair."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort, VirtualAddress
from shoal.api.v1.task_pb2 import TaskPort
from tests.integration.network.netns_hosts import (
    Host,
    Hosts,
    endpoint,
    inside,
    ip,
    network,
    pings,
    run,
    task,
    until,
)

CLIENT, ENTRY = "fd31::100", "fd31::1"


def dual(number: int, *, internal: bool = False, mesh: bool = False) -> NetworkAssignment:
    made = network(number, internal=internal)
    made.subnet6, made.mesh = f"fd99:{number}::/64", mesh
    return made


def placed(number: int, host: Host, *networks: int, service: str = "web", ready: bool = True) -> TaskEndpoint:
    """At ::<number> of each network beside its other address."""
    made = endpoint(number, host, *networks, service=service, ready=ready)
    for place, each in zip(made.addresses, networks, strict=True):
        place.address6 = f"fd99:{each}::{number}"
    return made


@contextmanager
def echo(descriptor: int, port: int, name: str = "") -> Iterator[list[str]]:
    """A server on every address of both families that answers its name, or what it got; the list has its clients."""
    with inside(descriptor):
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    seen: list[str] = []

    def serve() -> None:
        while True:
            try:
                connection, client = listener.accept()
            except OSError:
                return
            seen.append(client[0])
            with connection:
                connection.sendall(name.encode() or connection.recv(65536))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def ask(descriptor: int, address: str, port: int = 80, seconds: float = 2) -> str:
    with inside(descriptor):
        client = socket.socket(socket.AF_INET6)
    with client:
        client.settimeout(seconds)
        client.connect((address, port))
        client.sendall(b"hello")
        return client.recv(100).decode()


def fails(descriptor: int, address: str, port: int = 80, seconds: float = 1) -> str:
    """The name of the error that a connection comes to."""
    try:
        return f"answered {ask(descriptor, address, port, seconds)}"
    except OSError as error:
        return type(error).__name__ if isinstance(error, (TimeoutError, ConnectionError)) else str(error.strerror)


@pytest.fixture
def hosts6(hosts: Hosts) -> Hosts:
    """The same, with IPv6 addresses of the hosts and the client on the bridge."""
    for descriptor, number in ((hosts.one.descriptor, 1), (hosts.two.descriptor, 2), (hosts.client, 100)):
        ip(descriptor, f"-6 addr add fd31::{number}/64 dev eth0 nodad")
    hosts.start()
    return hosts


def test_containers_reach_each_other_by_both_families(hosts6: Hosts) -> None:
    here, there, near = placed(1, hosts6.one, 1), placed(2, hosts6.two, 1), placed(3, hosts6.one, 1)
    hosts6.apply([dual(1)], [here, there, near])
    sandbox = hosts6.attach(hosts6.one, task(here))
    two = hosts6.attach(hosts6.two, task(there)).netns_fd
    three = hosts6.attach(hosts6.one, task(near)).netns_fd
    assert sandbox.addresses6 == {"net1": "fd99:1::1"}

    assert pings(sandbox.netns_fd, "10.99.1.2")
    assert pings(sandbox.netns_fd, "fd99:1::2")
    assert pings(sandbox.netns_fd, "fd99:1::3")
    assert pings(sandbox.netns_fd, "fd99:1::2", "-s", "1402")  # with 48 bytes of headers the whole MTU, 1450
    with echo(two, 80) as clients:
        assert ask(sandbox.netns_fd, "fd99:1::2") == "hello"
        assert ask(three, "fd99:1::2") == "hello"
    assert clients == ["fd99:1::1", "fd99:1::3"]
    # Nobody has this one, and that is answered at once; no address is asked of the underlay.
    assert fails(sandbox.netns_fd, "fd99:1::77", seconds=3) in ("No route to host", "Network is unreachable")


def test_an_address_is_in_use_at_once_and_no_router_is_believed(hosts6: Hosts) -> None:
    here = placed(1, hosts6.one, 1)
    hosts6.apply([dual(1)], [here])
    one = hosts6.attach(hosts6.one, task(here)).netns_fd
    shown = run(one, "ip", "-6", "addr", "show", "dev", "eth0")
    assert "fd99:1::1/128" in shown
    assert "tentative" not in shown
    assert "fe80" not in shown
    assert run(one, "cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra").strip() == "0"


def test_networks_are_isolated_and_senders_are_checked(hosts6: Hosts) -> None:
    ours, theirs = placed(1, hosts6.one, 1), placed(2, hosts6.two, 2, service="db")
    hosts6.apply([dual(1), dual(2)], [ours, theirs])
    one, two = hosts6.attach(hosts6.one, task(ours)).netns_fd, hosts6.attach(hosts6.two, task(theirs)).netns_fd
    with echo(two, 80):
        assert fails(one, "fd99:2::2", seconds=3) == "Permission denied"
        ip(
            one,
            "-6 addr add fd99:2::9/128 dev eth0 nodad",
            "-6 route add fd99:2::/64 via fd53:686f:616c::1 src fd99:2::9",
        )
        assert fails(one, "fd99:2::2") == "TimeoutError"


def test_internal_networks_have_no_way_out_and_others_leave_by_the_nodes_address(hosts6: Hosts) -> None:
    inner, outer = placed(1, hosts6.one, 1), placed(2, hosts6.one, 2)
    hosts6.apply([dual(1, internal=True), dual(2)], [inner, outer])
    closed, way_out = hosts6.attach(hosts6.one, task(inner)).netns_fd, hosts6.attach(hosts6.one, task(outer)).netns_fd
    with echo(hosts6.client, 8000) as clients:
        assert fails(closed, CLIENT, 8000) == "Network is unreachable"
        assert ask(way_out, CLIENT, 8000) == "hello"
    assert clients == [ENTRY]


def test_a_virtual_address_leads_to_every_task(hosts6: Hosts) -> None:
    client, first, second = (
        placed(1, hosts6.one, 1, service="shell"),
        placed(2, hosts6.one, 1),
        placed(3, hosts6.two, 1),
    )
    virtual = VirtualAddress(network_id="net1", address="10.99.1.250", address6="fd99:1::fa")
    record = ServiceEndpoint(service_id="id-of-web", service_name="web", virtual_addresses=[virtual])
    hosts6.apply([dual(1)], [client, first, second], record)
    one = hosts6.attach(hosts6.one, task(client)).netns_fd
    tasks = [hosts6.attach(host, task(each)).netns_fd for host, each in ((hosts6.one, first), (hosts6.two, second))]
    with echo(tasks[0], 80, "first"), echo(tasks[1], 80, "second"):
        assert until(lambda: {ask(one, "fd99:1::fa") for _ in range(20)} == {"first", "second"})
        hosts6.apply([dual(1)], [client, placed(2, hosts6.one, 1, ready=False), second], record)
        assert {ask(one, "fd99:1::fa") for _ in range(10)} == {"second"}
        hosts6.apply([dual(1)], [client], record)
        assert fails(one, "fd99:1::fa") == "ConnectionRefusedError"
        answer = run(one, "busybox", "nslookup", "-type=aaaa", "web", "169.254.1.1")
        assert "fd99:1::fa" in answer


@pytest.mark.parametrize("at", ["", "::", ENTRY])
def test_a_port_of_a_task_is_published_at_the_hosts_addresses(hosts6: Hosts, at: str) -> None:
    served = placed(1, hosts6.one, 1)
    hosts6.apply([dual(1)], [served])
    one = hosts6.attach(hosts6.one, task(served, TaskPort(target=80, published=8080, host_address=at))).netns_fd
    with echo(one, 80) as clients:
        assert ask(hosts6.client, ENTRY, 8080) == "hello"
        assert ask(hosts6.one.descriptor, ENTRY, 8080) == "hello"
        assert clients[0] == CLIENT
    if at == "::":
        assert run(hosts6.client, "busybox", "nc", "-z", "-w1", "172.31.0.1", "8080", check=False)


def test_a_port_at_the_hosts_own_loopback_is_led_to_tasks(hosts6: Hosts) -> None:
    near, far = placed(1, hosts6.one, 9), placed(2, hosts6.two, 9)
    port = PublishedPort(target=80, published=8090, protocol=PublishedPort.TCP, host_address="::1")
    record = ServiceEndpoint(service_id="id-of-web", service_name="web", mesh_ports=[port])
    hosts6.apply([dual(9, mesh=True)], [far], record)
    one = hosts6.attach(hosts6.one, task(near, TaskPort(target=80, published=8080, host_address="::1"))).netns_fd
    two = hosts6.attach(hosts6.two, task(far)).netns_fd
    with echo(one, 80, "near"), echo(two, 80, "far"):
        assert ask(hosts6.one.descriptor, "::1", 8080) == "near"
        assert ask(hosts6.one.descriptor, "::1", 8090) == "far"
        assert fails(hosts6.client, ENTRY, 8080) == "ConnectionRefusedError"
        ip(hosts6.client, "-6 route add fd53:686f:616c::2/128 via fd31::1")
        assert fails(hosts6.client, "fd53:686f:616c::2", 8080) != "answered near"
    assert fails(hosts6.one.descriptor, "::1", 8080) == "ConnectionResetError"
    hosts6.one.call(hosts6.one.network.detach("task000000001"))
    assert fails(hosts6.one.descriptor, "::1", 8080) == "ConnectionRefusedError"


def test_a_task_without_networks_has_ipv6_too(hosts6: Hosts) -> None:
    alone = endpoint(1, hosts6.one)
    hosts6.apply([], [])
    one = hosts6.attach(hosts6.one, task(alone, TaskPort(target=80, published=8080))).netns_fd
    with echo(one, 80) as served, echo(hosts6.client, 8000) as left:
        assert ask(hosts6.client, ENTRY, 8080) == "hello"
        assert ask(one, CLIENT, 8000) == "hello"
    assert (served, left) == ([CLIENT], [ENTRY])


def test_the_mesh_keeps_the_clients_own_address(hosts6: Hosts) -> None:
    far = placed(2, hosts6.two, 9)
    port = PublishedPort(target=80, published=8080, protocol=PublishedPort.TCP)
    record = ServiceEndpoint(service_id="id-of-web", service_name="web", mesh_ports=[port])
    hosts6.apply([dual(9, mesh=True)], [far], record)
    two = hosts6.attach(hosts6.two, task(far)).netns_fd
    with echo(two, 80) as clients:
        assert ask(hosts6.client, ENTRY, 8080) == "hello"
        assert ask(hosts6.client, "fd31::2", 8080) == "hello"
        assert ask(hosts6.one.descriptor, ENTRY, 8080) == "hello"
    assert clients[:2] == [CLIENT, CLIENT]
    assert fails(hosts6.one.descriptor, "::1", 8080) == "ConnectionRefusedError"  # so clients of "localhost" go on


def test_what_someone_removes_is_repaired(hosts6: Hosts) -> None:
    here, there = placed(1, hosts6.one, 1), placed(2, hosts6.two, 1)
    hosts6.apply([dual(1)], [here, there])
    one, two = hosts6.attach(hosts6.one, task(here)).netns_fd, hosts6.attach(hosts6.two, task(there)).netns_fd
    assert until(lambda: pings(one, "fd99:1::2"))
    host = hosts6.one
    assert list(host.call(host.network.reconcile())) == []
    for damage in (
        "ip -6 route del fd99:1::2/128 dev shoal-vx",
        "ip -6 neigh flush dev shoal-vx nud permanent",
        "ip -6 addr flush dev shoal-vx",
        "sysctl -qw net.ipv6.conf.all.forwarding=0",
        "nft flush set inet shoal same_network6",
        "ip -6 route flush proto 83",
    ):
        run(host.descriptor, *damage.split())
        assert host.call(host.network.reconcile()), damage
        assert pings(one, "fd99:1::2"), damage
        assert list(host.call(host.network.reconcile())) == [], damage
    assert pings(two, "fd99:1::1")


def test_a_new_process_takes_over_without_a_break(hosts6: Hosts) -> None:
    here, there = placed(1, hosts6.one, 1), placed(2, hosts6.two, 1)
    hosts6.apply([dual(1)], [here, there])
    one, two = hosts6.attach(hosts6.one, task(here)).netns_fd, hosts6.attach(hosts6.two, task(there)).netns_fd
    with echo(two, 80):
        hosts6.one.stop()
        assert ask(one, "fd99:1::2") == "hello"
        hosts6.one.start()
        hosts6.one.call(hosts6.one.network.recover([task(here)]))
        assert ask(one, "fd99:1::2") == "hello"
        hosts6.apply([dual(1)], [here, there])
        assert ask(one, "fd99:1::2") == "hello"
    assert list(hosts6.one.call(hosts6.one.network.reconcile())) == []


def test_a_node_without_ipv6_says_so_and_does_without(hosts: Hosts) -> None:
    run(hosts.two.descriptor, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    hosts.start()
    about = hosts.two.network.description()
    assert (about.ipv6, about.ipv6_unavailable_reason) == (
        False,
        "IPv6 is disabled (net.ipv6.conf.all.disable_ipv6)",
    )
    assert hosts.one.network.description().ipv6
    here, there = placed(1, hosts.one, 1), placed(2, hosts.two, 1)
    hosts.apply([dual(1)], [here, there])
    one, two = hosts.attach(hosts.one, task(here)), hosts.attach(hosts.two, task(there))
    assert two.addresses6 == {}
    assert pings(one.netns_fd, "10.99.1.2")
    assert list(hosts.two.call(hosts.two.network.reconcile())) == []
