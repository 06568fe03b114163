"""Nodes measure how they reach each other; paths of different MTU; networks that grow under their containers."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from ipaddress import IPv4Address, ip_address

from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.streams_pb2 import ProbedNode, ProbedPort, ProbeRequest
from shoal.api.v1.task_pb2 import TaskAddress
from tests.integration.network.netns_hosts import (
    DEADLINE_SECONDS,
    Host,
    Hosts,
    endpoint,
    inside,
    ip,
    network,
    pings,
    run,
    task,
    tcp_echo,
    tcp_exchange,
)


def test_a_path_that_lets_too_little_through_is_found(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    own = hosts.one.network
    peer = ip_address(hosts.two.address), hosts.two.peer.vtep_mac
    assert hosts.one.call(own.prober.check_path(*peer)) is None
    for number in (1, 2):
        ip(hosts.switch, f"link set u{number} mtu 1300")
    fault = hosts.one.call(own.prober.check_path(*peer))
    assert fault is not None
    assert (fault.address, fault.tunnel, fault.expected_mtu) == (hosts.two.address, True, 1450)
    assert 1250 <= fault.mtu <= 1254  # a link has room for a VLAN's tag besides


def probed(host: Host) -> ProbedNode:
    return ProbedNode(node_id=host.node_id, address=host.address, vtep_mac=host.network.description().vtep_mac)


def shared(hosts: Hosts) -> tuple[TaskEndpoint, TaskEndpoint]:
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    return here, there


def test_a_node_measures_loss_time_and_mtu_of_underlay_and_tunnel(hosts: Hosts) -> None:
    hosts.start()
    request = ProbeRequest(nodes=[probed(hosts.two), ProbedNode(node_id="gone", address="172.31.0.77")], count=5)
    (reach, gone) = hosts.one.call(hosts.one.network.prober.probe(request)).nodes
    assert (reach.node_id, reach.underlay.sent, len(reach.underlay.rtts_us)) == ("node2", 5, 5)
    assert (reach.underlay.mtu, reach.underlay.expected_mtu) == (1500, 1500)
    assert not reach.HasField("overlay"), "no network is on both"
    assert (len(gone.underlay.rtts_us), gone.underlay.mtu) == (0, 0)

    shared(hosts)
    (reach, _) = hosts.one.call(hosts.one.network.prober.probe(request)).nodes
    assert (len(reach.overlay.rtts_us), reach.overlay.mtu, reach.overlay.expected_mtu) == (5, 1450, 1450)
    # The tunnel is broken on the other side: its node does not believe this one any more.
    hosts.two.assign([], [], [])
    (reach, _) = hosts.one.call(hosts.one.network.prober.probe(request)).nodes
    assert (len(reach.underlay.rtts_us), len(reach.overlay.rtts_us)) == (5, 0)


def test_a_narrow_path_is_found_to_the_byte(hosts: Hosts) -> None:
    hosts.start()
    # Behind the first hop, where no interface of the hosts shows it.
    ip(hosts.switch, "link set u2 mtu 1400", "link set u1 mtu 1400")
    (reach,) = hosts.one.call(hosts.one.network.prober.probe(ProbeRequest(nodes=[probed(hosts.two)], count=2))).nodes
    assert (reach.underlay.mtu, reach.underlay.expected_mtu) == (1400, 1500)


def test_ports_are_tried(hosts: Hosts) -> None:
    hosts.start()
    request = ProbeRequest(ports=[ProbedPort(address="172.31.0.2", port=port) for port in (9001, 9002)])
    with tcp_echo(hosts.two.descriptor, 9001):
        answers = hosts.one.call(hosts.one.network.prober.probe(request)).port_errors
    assert list(answers) == ["", "connection refused"]


def test_datagrams_are_answered_refused_or_kept_silent_about(hosts: Hosts) -> None:
    hosts.start()
    answering, silent, closed = 9001, 9002, 9003
    ports = [
        ProbedPort(address="172.31.0.2", port=port, protocol=PublishedPort.UDP) for port in (answering, silent, closed)
    ]
    with inside(hosts.two.descriptor):
        heard = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in (answering, silent)]
    for port, each in zip((answering, silent), heard, strict=True):
        each.settimeout(DEADLINE_SECONDS)
        each.bind(("172.31.0.2", port))
    with ThreadPoolExecutor() as pool, closing(heard[0]), closing(heard[1]):
        asking = pool.submit(hosts.one.call, hosts.one.network.prober.probe(ProbeRequest(ports=ports)))
        heard[0].sendto(b"here", heard[0].recvfrom(1)[1])
        answer = asking.result()
        assert heard[1].recvfrom(1)[0] == b""
    assert list(answer.port_errors) == ["", "", "connection refused"]
    assert list(answer.inconclusive_ports) == [1]


def test_ports_of_sctp_are_tried_where_the_kernel_has_it(hosts: Hosts) -> None:
    hosts.start()
    request = ProbeRequest(ports=[ProbedPort(address="172.31.0.2", port=9001, protocol=PublishedPort.SCTP)])
    answer = hosts.one.call(hosts.one.network.prober.probe(request))
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        assert (list(answer.port_errors), list(answer.inconclusive_ports)) == ([""], [0])
    else:
        assert (list(answer.port_errors), list(answer.inconclusive_ports)) == (["connection refused"], [])


def test_hosts_with_different_mtus_exchange_large_data(hosts: Hosts) -> None:
    """The smaller one clamps what its containers are sent, in both directions."""
    ip(hosts.two.descriptor, "link set eth0 mtu 1400")
    hosts.start()
    here, there = shared(hosts)
    assert (hosts.one.network.description().underlay_mtu, hosts.two.network.description().underlay_mtu) == (1500, 1400)
    one, two = (hosts.attach(host, task(each)) for host, each in ((hosts.one, here), (hosts.two, there)))
    data = bytes(range(256)) * 2_000
    for client, server, address in ((one, two, "10.99.1.2"), (two, one, "10.99.1.1")):
        with tcp_echo(server.netns_fd, 9001):
            assert tcp_exchange(client.netns_fd, address, 9001, data, seconds=5) == data
    assert "1350" in run(two.netns_fd, "ip", "link", "show", "eth0")


def test_an_mtu_that_shrinks_while_containers_run_is_followed(hosts: Hosts) -> None:
    hosts.start()
    here, there = shared(hosts)
    one, two = (hosts.attach(host, task(each)) for host, each in ((hosts.one, here), (hosts.two, there)))
    for host in (hosts.one, hosts.two):
        ip(host.descriptor, "link set eth0 mtu 1300")
        assert "changed to 1300" in host.call(host.network.reconcile())[0]
        assert "mtu 1250" in run(host.descriptor, "ip", "link", "show", "shoal-vx")
        assert host.call(host.network.reconcile()) == []
    data = b"x" * 300_000
    with tcp_echo(two.netns_fd, 9001):
        assert tcp_exchange(one.netns_fd, "10.99.1.2", 9001, data, seconds=5) == data


def test_large_data_passes_an_underlay_that_loses_packets(hosts: Hosts) -> None:
    """By rules of another table: the network emulator (tc-netem) is not in every kernel. Each 33rd packet of either way
    is lost: by chance, a hundred probes might lose none."""
    hosts.start()
    here, there = shared(hosts)
    one, two = (hosts.attach(host, task(each)) for host, each in ((hosts.one, here), (hosts.two, there)))
    for host in (hosts.one, hosts.two):
        host.nft("add table inet lossy")
        host.nft("add chain inet lossy in { type filter hook prerouting priority -500; }")
        host.nft("add rule inet lossy in udp dport 4789 numgen inc mod 33 == 0 drop")
    data = b"x" * 300_000
    with tcp_echo(two.netns_fd, 9001):
        assert tcp_exchange(one.netns_fd, "10.99.1.2", 9001, data, seconds=20) == data
    (reach,) = hosts.one.call(hosts.one.network.prober.probe(ProbeRequest(nodes=[probed(hosts.two)], count=100))).nodes
    assert len(reach.underlay.rtts_us) == 100 > len(reach.overlay.rtts_us) > 50
    assert reach.overlay.mtu == 1450


def test_a_network_widens_under_its_containers(hosts: Hosts) -> None:
    hosts.start()

    def assigned(subnet: str) -> NetworkAssignment:
        return NetworkAssignment(network_id="net1", name="net-1", subnet=subnet, supernet="10.99.0.0/20")

    here = endpoint(7, hosts.one, 1)
    here.addresses[0].address = "10.99.0.7"
    hosts.apply([assigned("10.99.0.0/24")], [here])
    one = hosts.attach(hosts.one, task(here))
    late = TaskEndpoint(task_id="task-late-0001", service_name="web", slot=9, node_id="node2", ready=True)
    late.addresses.append(TaskAddress(network_id="net1", address="10.99.1.9"))
    hosts.apply([assigned("10.99.0.0/23")], [here, late])
    two = hosts.attach(hosts.two, task(late))
    assert pings(one.netns_fd, "10.99.1.9") and pings(two.netns_fd, "10.99.0.7")
    assert hosts.one.call(hosts.one.network.reconcile()) == []


def test_routes_of_the_host_are_described_and_ours_are_not(hosts: Hosts) -> None:
    ip(hosts.one.descriptor, "route add 10.200.0.0/16 via 172.31.0.100", "route add default via 172.31.0.100")
    hosts.start()
    shared(hosts)
    hosts.one.stop()
    hosts.one.start(upstream_resolvers=(IPv4Address("172.31.0.100"), IPv4Address("10.1.2.3")))
    prefixes = ["10.200.0.0/16", "172.31.0.0/24", "10.1.2.3/32"]
    assert list(hosts.one.network.description().host_prefixes) == prefixes


def test_containers_have_resolvers_of_their_own_and_keep_them_over_a_restart(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.one, 1)
    hosts.apply([network(1)], [here, there])
    with inside(hosts.client):
        server = socket.socket(type=socket.SOCK_DGRAM)
    server.bind(("172.31.0.100", 53))
    server.settimeout(5)
    asked: list[bytes] = []

    def serve() -> None:
        for _ in range(2):
            wire, source = server.recvfrom(512)
            asked.append(wire)
            server.sendto(wire[:2] + b"\x81\x80" + wire[4:], source)

    thread = threading.Thread(target=serve)
    thread.start()
    ours = hosts.attach(hosts.one, task(here), resolvers=["172.31.0.100"])
    query = b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01"

    def ask(descriptor: int) -> bytes:
        with inside(descriptor), socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(query, ("169.254.1.1", 53))
            return client.recv(512)

    try:
        assert ask(ours.netns_fd)[2:4] == b"\x81\x80"
        hosts.one.stop()
        hosts.one.start()
        hosts.one.call(hosts.one.network.recover([task(here)]))
        hosts.apply([network(1)], [here, there])
        assert ask(ours.netns_fd)[2:4] == b"\x81\x80"
    finally:
        thread.join()
        server.close()
    assert [wire[12:] for wire in asked] == [query[12:]] * 2
