"""Hosts that reach each other by IPv6 alone: tunnels, both families inside them, the routing mesh, the check."""

import json

import pytest

from shoal.api.v1.dispatcher_pb2 import ServiceEndpoint
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.streams_pb2 import ProbedNode, ProbeRequest
from tests.integration.network.netns_hosts import Host, Hosts, ip, pings, run, task, tcp_exchange, until
from tests.integration.network.test_ipv6_between_hosts import CLIENT, ENTRY, ask, dual, echo, fails, placed


@pytest.fixture
def over_ipv6(hosts: Hosts) -> Hosts:
    """The hosts have IPv6 addresses alone, the client has both."""
    for host, number in ((hosts.one, 1), (hosts.two, 2)):
        ip(host.descriptor, "addr flush dev eth0", f"-6 addr add fd31::{number}/64 dev eth0 nodad")
        host.address = f"fd31::{number}"
    ip(hosts.client, "-6 addr add fd31::100/64 dev eth0 nodad")
    hosts.start()
    return hosts


def received(host: Host) -> int:
    """Packets that came through the tunnels."""
    (link,) = json.loads(run(host.descriptor, "ip", "-s", "-j", "link", "show", "shoal-vx"))
    count: int = link["stats64"]["rx"]["packets"]
    return count


def test_both_families_cross_with_the_mtu_that_is_left(over_ipv6: Hosts) -> None:
    here, there = placed(1, over_ipv6.one, 1), placed(2, over_ipv6.two, 1)
    over_ipv6.apply([dual(1)], [here, there])
    one = over_ipv6.attach(over_ipv6.one, task(here)).netns_fd
    two = over_ipv6.attach(over_ipv6.two, task(there)).netns_fd
    assert until(lambda: pings(one, "10.99.1.2"))
    assert pings(one, "fd99:1::2")
    assert "mtu 1430" in run(over_ipv6.one.descriptor, "ip", "link", "show", "shoal-vx")
    assert pings(one, "10.99.1.2", "-s", "1402")  # with 28 bytes of headers the whole MTU
    assert pings(one, "fd99:1::2", "-s", "1382")
    with echo(two, 80) as clients:
        assert ask(one, "fd99:1::2") == "hello"
        assert tcp_exchange(one, "10.99.1.2", 80) == b"hello"
    assert clients == ["fd99:1::1", "::ffff:10.99.1.1"]
    assert list(over_ipv6.one.call(over_ipv6.one.network.reconcile())) == []


def test_what_is_removed_comes_back_and_strangers_tunnels_are_not_believed(over_ipv6: Hosts) -> None:
    here, there = placed(1, over_ipv6.one, 1), placed(2, over_ipv6.two, 1)
    over_ipv6.apply([dual(1)], [here, there])
    one = over_ipv6.attach(over_ipv6.one, task(here)).netns_fd
    over_ipv6.attach(over_ipv6.two, task(there))
    host = over_ipv6.one
    for damage in ("ip link del shoal-vx", "bridge fdb flush dev shoal-vx", "nft flush set inet shoal peers6"):
        run(host.descriptor, *damage.split())
        assert host.call(host.network.reconcile()), damage
        assert until(lambda: pings(one, "10.99.1.2")), damage  # a link that has just come up sends a moment later
        assert until(lambda: pings(one, "fd99:1::2")), damage
    # The client has a tunnel endpoint with the right identifier, and is no peer.
    ip(
        over_ipv6.client,
        "link add vx0 type vxlan id 4096 dstport 4789 local fd31::100 remote fd31::1 dev eth0",
        "link set vx0 up",
        "addr add 10.99.1.66/32 dev vx0",
        "-6 addr add fd99:1::66/128 dev vx0 nodad",
        "route add 10.99.1.1/32 dev vx0",
        "-6 route add fd99:1::1/128 dev vx0",
    )
    mac = host.network.description().vtep_mac
    ip(over_ipv6.client, f"neigh add 10.99.1.1 lladdr {mac} dev vx0", f"-6 neigh add fd99:1::1 lladdr {mac} dev vx0")
    before = received(host)
    assert not pings(over_ipv6.client, "10.99.1.1")
    assert not pings(over_ipv6.client, "fd99:1::1")
    assert received(host) == before


def test_the_mesh_keeps_the_clients_own_address_of_both_families(over_ipv6: Hosts) -> None:
    ip(over_ipv6.one.descriptor, "addr add 172.31.0.1/24 dev eth0")
    far = placed(2, over_ipv6.two, 9)
    port = PublishedPort(target=80, published=8080, protocol=PublishedPort.TCP)
    record = ServiceEndpoint(service_id="id-of-web", service_name="web", mesh_ports=[port])
    over_ipv6.apply([dual(9, mesh=True)], [far], record)
    two = over_ipv6.attach(over_ipv6.two, task(far)).netns_fd
    with echo(two, 80) as clients:
        assert ask(over_ipv6.client, ENTRY, 8080) == "hello"
        assert tcp_exchange(over_ipv6.client, "172.31.0.1", 8080) == b"hello"
        assert tcp_exchange(over_ipv6.one.descriptor, "127.0.0.1", 8080) == b"hello"
        assert ask(over_ipv6.two.descriptor, ENTRY, 8080) == "hello"  # by the other node to a task of its own
    assert clients[:2] == [CLIENT, "::ffff:172.31.0.100"]
    assert fails(over_ipv6.client, ENTRY, 8081) == "ConnectionRefusedError"


def test_the_check_measures_paths_by_ipv6(over_ipv6: Hosts) -> None:
    over_ipv6.apply([dual(1)], [placed(2, over_ipv6.two, 1), placed(1, over_ipv6.one, 1)])
    about = over_ipv6.two.network.description()
    assert (about.address, about.underlay_mtu) == ("fd31::2", 1500)
    target = ProbedNode(node_id="node2", address=about.address, vtep_mac=about.vtep_mac)
    answer = over_ipv6.one.call(over_ipv6.one.network.prober.probe(ProbeRequest(nodes=[target], count=3)))
    (reach,) = answer.nodes
    assert (len(reach.underlay.rtts_us), reach.underlay.mtu) == (3, 1500)
    assert (len(reach.overlay.rtts_us), reach.overlay.mtu) == (3, 1430)
