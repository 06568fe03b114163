"""Containers on two hosts over VXLAN: they reach each other, and nobody else reaches them."""

import socket

from tests.integration.network.netns_hosts import (
    Hosts,
    endpoint,
    inside,
    ip,
    network,
    pings,
    refused,
    run,
    task,
    tcp_echo,
    tcp_exchange,
)


def test_containers_of_a_network_reach_each_other_across_hosts(hosts: Hosts) -> None:
    hosts.start()
    here, there, near = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1), endpoint(3, hosts.one, 1)
    hosts.apply([network(1)], [here, there, near])
    one, two, three = (
        hosts.attach(host, task(each)).netns_fd
        for host, each in ((hosts.one, here), (hosts.two, there), (hosts.one, near))
    )

    assert pings(one, "10.99.1.2")
    assert pings(one, "10.99.1.3")
    assert pings(two, "10.99.1.3")
    with tcp_echo(two, 80) as clients:
        assert tcp_exchange(one, "10.99.1.2", 80, b"x" * 3_000_000, seconds=20) == b"x" * 3_000_000
        assert tcp_exchange(three, "10.99.1.2", 80) == b"hello"
    assert clients == ["10.99.1.1", "10.99.1.3"]


def test_udp_crosses_with_its_sources_address(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    with inside(hosts.attach(hosts.one, task(here)).netns_fd):
        sender = socket.socket(type=socket.SOCK_DGRAM)
    with inside(hosts.attach(hosts.two, task(there)).netns_fd):
        receiver = socket.socket(type=socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.settimeout(2)
        receiver.bind(("", 5000))
        sender.sendto(b"datagram", ("10.99.1.2", 5000))
        data, (source, _) = receiver.recvfrom(100)
    assert (data, source) == (b"datagram", "10.99.1.1")


def test_the_largest_packet_passes_whole_and_a_larger_one_is_refused_at_once(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    one = hosts.attach(hosts.one, task(here)).netns_fd
    two = hosts.attach(hosts.two, task(there)).netns_fd
    with inside(two):
        receiver = socket.socket(type=socket.SOCK_DGRAM)
    with inside(one):
        sender = socket.socket(type=socket.SOCK_DGRAM)
    ip_mtu_discover, always_do = 10, 2
    with sender, receiver:
        receiver.settimeout(2)
        receiver.bind(("", 5000))
        sender.setsockopt(socket.IPPROTO_IP, ip_mtu_discover, always_do)
        sender.sendto(b"x" * (1450 - 28), ("10.99.1.2", 5000))
        assert len(receiver.recv(2000)) == 1450 - 28
        try:
            sender.sendto(b"x" * (1451 - 28), ("10.99.1.2", 5000))
        except OSError as error:
            assert "too long" in str(error)
        else:
            raise AssertionError("a packet larger than the link was taken")
    assert "mtu 1450" in run(hosts.one.descriptor, "ip", "link", "show", "shoal-vx")


def test_networks_are_isolated_on_one_host_and_between_two(hosts: Hosts) -> None:
    hosts.start()
    front, near, far = endpoint(1, hosts.one, 1), endpoint(2, hosts.one, 2), endpoint(3, hosts.two, 2)
    both = endpoint(4, hosts.one, 1, 2)
    hosts.apply([network(1), network(2)], [front, near, far, both])
    inner = {
        each.task_id: hosts.attach(host, task(each)).netns_fd
        for host, each in ((hosts.one, front), (hosts.one, near), (hosts.two, far), (hosts.one, both))
    }
    with tcp_echo(inner[near.task_id], 80), tcp_echo(inner[far.task_id], 80) as clients:
        assert refused(inner[front.task_id], "10.99.2.2", 80)
        assert refused(inner[front.task_id], "10.99.2.3", 80)
        assert tcp_exchange(inner[both.task_id], "10.99.2.2", 80) == b"hello"
        assert tcp_exchange(inner[both.task_id], "10.99.2.3", 80) == b"hello"
    assert clients == ["10.99.2.4"]


def test_a_container_cannot_speak_with_anothers_address(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    one = hosts.attach(hosts.one, task(here)).netns_fd
    hosts.attach(hosts.two, task(there))
    assert pings(one, "10.99.1.2")

    ip(one, "addr add 10.99.1.77/32 dev eth0")

    assert not pings(one, "10.99.1.2", "-I", "10.99.1.77")
    assert not pings(one, "172.31.0.2", "-I", "10.99.1.77")
    assert pings(one, "10.99.1.2")


def test_nobody_outside_can_put_frames_into_the_overlay(hosts: Hosts) -> None:
    """A client that runs a VXLAN device of the same number, with the right MAC and a member's address inside."""
    hosts.start()
    here = endpoint(1, hosts.one, 1)
    hosts.apply([network(1)], [here])
    one = hosts.attach(hosts.one, task(here)).netns_fd
    mac = hosts.one.network.description().vtep_mac
    ip(
        hosts.client,
        "link add vx type vxlan id 4096 dstport 4789 local 172.31.0.100 nolearning",
        "link set vx up",
        "addr add 10.99.1.50/32 dev vx",
        "route add 10.99.1.1/32 dev vx",
        f"neigh add 10.99.1.1 lladdr {mac} dev vx",
    )
    run(hosts.client, "bridge", "fdb", "add", mac, "dev", "vx", "dst", "172.31.0.1", "self", "permanent")
    with inside(one):
        receiver = socket.socket(type=socket.SOCK_DGRAM)
    with inside(hosts.client):
        sender = socket.socket(type=socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.settimeout(0.5)
        receiver.bind(("", 5000))
        sender.sendto(b"forged", ("10.99.1.1", 5000))
        try:
            received = receiver.recv(100)
        except TimeoutError:
            received = b""
    assert received == b""


def test_a_lan_neighbour_with_a_route_reaches_no_container(hosts: Hosts) -> None:
    hosts.start()
    here = endpoint(1, hosts.one, 1)
    hosts.apply([network(1)], [here])
    with tcp_echo(hosts.attach(hosts.one, task(here)).netns_fd, 80):
        ip(hosts.client, "route add 10.99.1.0/24 via 172.31.0.1")
        assert refused(hosts.client, "10.99.1.1", 80)


def test_egress_is_translated_to_the_nodes_address_and_internal_networks_have_none(hosts: Hosts) -> None:
    hosts.start()
    outward, inward = endpoint(1, hosts.one, 1), endpoint(2, hosts.one, 2)
    hosts.apply([network(1), network(2, internal=True)], [outward, inward])
    out = hosts.attach(hosts.one, task(outward)).netns_fd
    closed = hosts.attach(hosts.one, task(inward)).netns_fd
    with tcp_echo(hosts.client, 80) as clients:
        assert tcp_exchange(out, "172.31.0.100", 80) == b"hello"
        ip(closed, "route add default via 169.254.1.1 dev eth0 onlink")
        assert refused(closed, "172.31.0.100", 80)
    assert clients == ["172.31.0.1"]
    with tcp_echo(hosts.one.descriptor, 80):
        assert refused(closed, "172.31.0.1", 80)
        assert refused(closed, "169.254.1.1", 80)


def test_an_address_that_nobody_has_is_unreachable_at_once_and_never_leaves(hosts: Hosts) -> None:
    hosts.start()
    here = endpoint(1, hosts.one, 1)
    hosts.apply([network(1)], [here])
    one = hosts.attach(hosts.one, task(here)).netns_fd
    try:
        tcp_exchange(one, "10.99.1.200", 80, seconds=10)
    except OSError as error:
        assert "unreachable" in str(error) or "No route" in str(error)


def test_without_a_network_a_task_has_egress_and_no_neighbours(hosts: Hosts) -> None:
    hosts.start()
    sandboxes = [hosts.attach(hosts.one, task(endpoint(number, hosts.one))) for number in (1, 2)]
    addresses = [sandbox.addresses[""] for sandbox in sandboxes]
    assert addresses == ["172.30.0.1", "172.30.0.2"]
    with tcp_echo(hosts.client, 80) as clients, tcp_echo(sandboxes[1].netns_fd, 80):
        assert tcp_exchange(sandboxes[0].netns_fd, "172.31.0.100", 80) == b"hello"
        assert refused(sandboxes[0].netns_fd, addresses[1], 80)
    assert clients == ["172.31.0.1"]


def test_internal_only_without_networks_leaves_loopback_alone(hosts: Hosts) -> None:
    hosts.start()
    sandbox = hosts.attach(hosts.one, task(endpoint(1, hosts.one)), internal_only=True)
    assert dict(sandbox.addresses) == {}
    assert pings(sandbox.netns_fd, "127.0.0.1")
    assert not pings(sandbox.netns_fd, "172.31.0.100")
