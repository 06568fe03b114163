"""What a host's own network is and becomes: its addresses, routes and IPv6 switch, and the links that agents need."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from shoal.api.v1.dispatcher_pb2 import NetworkAssignment
from shoal.errors import InvalidInput
from tests.integration.network.netns_hosts import (
    Hosts,
    endpoint,
    ip,
    network,
    pings,
    run,
    task,
    until,
)


def test_without_ipv6_that_a_person_turned_off_ipv4_goes_on(hosts: Hosts) -> None:
    hosts.start()
    first, second, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.one, 1), endpoint(3, hosts.two, 1)
    networks = [with_ipv6(network(1))]
    for each in (first, second, there):
        each.addresses[0].address6 = f"fd99:1::{each.slot}"
    hosts.apply(networks, [first, there])
    inner = hosts.attach(hosts.one, task(first)).netns_fd
    hosts.attach(hosts.two, task(there))
    own = hosts.one.network
    assert pings(inner, "fd99:1::3", "-6")

    run(hosts.one.descriptor, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    later = hosts.attach(hosts.one, task(second)).netns_fd
    hosts.apply(networks, [first, second, there])
    hosts.one.call(own.reconcile())
    (reported,) = own.condition.current.problems
    assert reported.startswith("containers on this node lost IPv6: IPv6 is disabled")
    assert pings(later, "10.99.1.3")
    assert pings(inner, "10.99.1.2")
    assert hosts.one.call(own.reconcile()) == []

    run(hosts.one.descriptor, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
    assert hosts.one.call(own.reconcile())
    assert not own.condition.current.problems
    assert pings(inner, "fd99:1::3", "-6")
    assert pings(later, "fd99:1::3", "-6")


def with_ipv6(given: NetworkAssignment) -> NetworkAssignment:
    given.subnet6 = "fd99:1::/64"
    return given


def test_an_underlay_that_is_created_again_is_followed(hosts: Hosts) -> None:
    hosts.start()
    here, there = endpoint(1, hosts.one, 1), endpoint(2, hosts.two, 1)
    hosts.apply([network(1)], [here, there])
    inner = hosts.attach(hosts.one, task(here)).netns_fd
    hosts.attach(hosts.two, task(there))
    own = hosts.one.network
    # A bridge takes the interface and its address, as when a host gets virtual machines.
    ip(
        hosts.one.descriptor,
        "addr del 172.31.0.1/24 dev eth0",
        "link add ubr1 type bridge",
        "link set eth0 master ubr1",
        "link set ubr1 up",
    )
    assert hosts.one.call(own.reconcile()) == []
    (reported,) = own.condition.current.problems
    assert "no interface of this host has the address 172.31.0.1" in reported

    ip(hosts.one.descriptor, "addr add 172.31.0.1/24 dev ubr1")
    assert "the address 172.31.0.1 moved to interface ubr1" in hosts.one.call(own.reconcile())
    assert not own.condition.current.problems
    assert until(lambda: pings(inner, "10.99.1.2"))
    ip(hosts.one.descriptor, "link del ubr1", "link add ubr1 type bridge")
    ip(hosts.one.descriptor, "link set eth0 master ubr1", "link set ubr1 up", "addr add 172.31.0.1/24 dev ubr1")
    assert hosts.one.call(own.reconcile())
    assert until(lambda: pings(inner, "10.99.1.2"))
    assert hosts.one.call(own.reconcile()) == []


def test_an_underlay_address_that_is_not_the_hosts_is_refused(hosts: Hosts) -> None:
    hosts.one.address = "172.31.0.250"
    with pytest.raises(InvalidInput, match=r"no interface of this host has the address 172\.31\.0\.250"):
        hosts.one.start()


def test_the_pool_of_a_nodes_own_keeps_off_the_hosts_routes_and_stays_while_containers_have_it(hosts: Hosts) -> None:
    ip(hosts.one.descriptor, "route add 172.30.8.0/24 via 172.31.0.100")
    hosts.start()
    nowhere = endpoint(4, hosts.one)
    assert hosts.one.network.description().local_pool == "172.29.0.0/16"
    assert "172.30.8.0/24" in hosts.one.network.description().host_prefixes
    local = hosts.attach(hosts.one, task(nowhere))
    assert local.addresses == {"": "172.29.0.1"}
    ip(hosts.client, "addr add 172.30.8.8/32 dev lo")
    assert pings(local.netns_fd, "172.30.8.8")

    hosts.one.stop()
    ip(hosts.one.descriptor, "route add 172.29.8.0/24 via 172.31.0.100")
    hosts.one.start()
    hosts.one.call(hosts.one.network.recover([task(nowhere)]))
    assert hosts.one.network.description().local_pool == "172.29.0.0/16"
    assert pings(local.netns_fd, "172.31.0.100")
    hosts.one.call(hosts.one.network.detach(nowhere.task_id))
    assert until(lambda: "sh-" not in run(hosts.one.descriptor, "ip", "-o", "link"))

    hosts.one.stop()
    hosts.one.start()
    assert hosts.one.network.description().local_pool == "172.28.0.0/16"
    hosts.one.stop()
    hosts.one.start(local_pool=IPv4Network("192.168.200.0/24"))
    hosts.apply([], [])
    assert hosts.attach(hosts.one, task(nowhere)).addresses == {"": "192.168.200.1"}
    assert "172.2" not in hosts.one.nft("list table inet shoal")
    assert "172.28.0.0" not in run(hosts.one.descriptor, "ip", "route")


def test_a_route_of_the_host_that_comes_later_is_reported(hosts: Hosts) -> None:
    hosts.start(upstream_resolvers=(IPv4Address("172.31.0.100"),))  # not this machine's, which are described too
    own = hosts.one.network
    assert list(own.condition.current.host_prefixes) == ["172.31.0.0/24"]
    ip(hosts.one.descriptor, "route add 10.8.0.0/16 via 172.31.0.100", "route add 10.9.0.0/16 dev eth0 table 52")
    hosts.apply([network(1)], [endpoint(2, hosts.two, 1)])
    hosts.one.call(own.maintenance.inspect_host())
    assert list(own.condition.current.host_prefixes) == ["10.8.0.0/15", "172.31.0.0/24"]
