"""Our own encoding and decoding of rtnetlink against pyroute2's, on the kernel, in a namespace of its own."""

import os
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from pyroute2 import IPRoute

from agent.network.attachments.namespaces import NamespacePool, create_namespace
from agent.network.netlink import rtnetlink_dump
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import (
    DEVCONF_ROUTE_LOCALNET,
    FdbEntry,
    KernelRoute,
    Neighbour,
    add_address,
    add_fdb_entry,
    add_neighbour,
    add_route,
    add_vxlan,
    delete_fdb_entry,
    delete_group,
    delete_link,
    delete_neighbour,
    delete_route,
    set_link,
)
from shoal.errors import Unavailable
from tests.integration.network.netns_hosts import inside, ip, run

VTEP = IPv4Address("172.31.9.2")
MAC = "02:56:ac:1f:09:02"


@pytest.fixture
def home() -> Iterator[int]:
    """A namespace with an underlay address on the interface with index 2."""
    descriptor, connection = create_namespace()
    connection.close()
    ip(descriptor, "link set lo up", "link add under type bridge", "link set under up")
    ip(descriptor, "addr add 172.31.9.1/24 dev under")
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def ours(home: int) -> Iterator[Connection]:
    with inside(home):
        connection = Connection()
    yield connection
    connection.close()


@pytest.fixture
def theirs(home: int) -> Iterator[Any]:
    with inside(home):
        reader = IPRoute()
    yield reader
    reader.close()


@pytest.fixture
def overlay(home: int, ours: Connection) -> int:
    local = IPv4Address("172.31.9.1")
    ours.apply([add_vxlan("vx", vni=77, mac="02:56:ac:1f:09:01", local=local, link=2, port=4789, mtu=1450)])
    return next(link.index for link in rtnetlink_dump.links(ours) if link.name == "vx")


def test_a_vxlan_device_is_what_was_asked_for(overlay: int, ours: Connection, theirs: Any) -> None:
    (link,) = theirs.get_links(overlay)
    data = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    found = {name: data.get_attr(f"IFLA_VXLAN_{name}") for name in ("ID", "LOCAL", "LINK", "LEARNING", "PORT")}
    assert found == {"ID": 77, "LOCAL": "172.31.9.1", "LINK": 2, "LEARNING": 0, "PORT": 4789}
    (seen,) = [each for each in rtnetlink_dump.links(ours) if each.index == overlay]
    assert (seen.name, seen.up, seen.mtu, seen.mac, seen.master) == ("vx", True, 1450, "02:56:ac:1f:09:01", 0)
    assert seen.vxlan == rtnetlink_dump.Vxlan(77, 2, IPv4Address("172.31.9.1"), 4789)


def test_routes_neighbours_and_forwarding_entries_come_and_go(overlay: int, ours: Connection, theirs: Any) -> None:
    route = KernelRoute(IPv4Network("10.99.0.7"), overlay, VTEP)
    subnet = KernelRoute(IPv4Network("10.99.0.0/24"), 0)
    neighbour, entry = Neighbour(overlay, VTEP, MAC), FdbEntry(overlay, MAC, VTEP)
    ours.apply([add_fdb_entry(entry), add_neighbour(neighbour), add_route(route), add_route(subnet)])

    assert set(rtnetlink_dump.own_routes(ours)) == {route, subnet}
    other = IPv4Network("10.77.0.0/16")
    before = rtnetlink_dump.foreign_routes(ours)
    theirs.route("add", dst=str(other), oif=overlay, table=52, scope="link")
    assert rtnetlink_dump.foreign_routes(ours) - before == {other}
    theirs.route("del", dst=str(other), oif=overlay, table=52, scope="link")
    assert neighbour in rtnetlink_dump.neighbours(ours)
    assert rtnetlink_dump.fdb_entries(ours, overlay) == [entry]
    (read,) = [each for each in theirs.get_routes(table=254) if each.get_attr("RTA_DST") == "10.99.0.7"]
    assert (read.get_attr("RTA_GATEWAY"), read["proto"], read["flags"] & 4) == ("172.31.9.2", 83, 4)
    (read,) = theirs.get_neighbours(dst="172.31.9.2", ifindex=overlay)
    assert (read.get_attr("NDA_LLADDR"), read["state"]) == (MAC, 0x80)

    ours.apply([delete_route(route), delete_route(subnet), delete_neighbour(neighbour), delete_fdb_entry(entry)])
    assert rtnetlink_dump.own_routes(ours) == []
    assert rtnetlink_dump.fdb_entries(ours, overlay) == []
    ours.apply([delete_route(route), delete_route(subnet), delete_neighbour(neighbour), delete_fdb_entry(entry)])


def test_links_are_claimed_and_swept_by_group(home: int, ours: Connection, theirs: Any) -> None:
    with inside(home):
        pool = NamespacePool(connection=Connection(), mtu=1400, ipv6=True)
        pool.fill(1)
        namespace = pool.acquire()
    assert namespace is not None
    (index,) = theirs.link_lookup(ifname=namespace.link)
    settings = {DEVCONF_ROUTE_LOCALNET: 1}
    ours.apply([set_link(index, name="sh-x", alias="words of ours", up=True, group=9, ipv4=settings)])

    (link,) = theirs.get_links(index)
    assert (link.get_attr("IFLA_IFNAME"), link.get_attr("IFLA_IFALIAS")) == ("sh-x", "words of ours")
    assert (link.get_attr("IFLA_GROUP"), link.get_attr("IFLA_MTU")) == (9, 1400)
    (seen,) = [each for each in rtnetlink_dump.links(ours) if each.index == index]
    assert (seen.alias, seen.up) == ("words of ours", True)
    assert run(home, "cat", "/proc/sys/net/ipv4/conf/sh-x/route_localnet").strip() == "1"

    ours.apply([delete_group(9)])
    assert not theirs.link_lookup(ifname="sh-x")
    namespace.close()
    pool.close()


def test_addresses_are_read(overlay: int, ours: Connection) -> None:
    ours.apply([add_address(overlay, IPv4Address("10.99.0.1"))])
    found = rtnetlink_dump.addresses(ours)
    assert found[IPv4Address("10.99.0.1")] == overlay
    assert found[IPv4Address("172.31.9.1")] == 2


def test_refusals_name_the_first_and_count_the_rest_and_do_not_stop_the_others(overlay: int, ours: Connection) -> None:
    good = KernelRoute(IPv4Network("10.99.0.8"), overlay, VTEP)
    bad = [KernelRoute(IPv4Network(f"10.99.1.{number}"), 9999, VTEP) for number in (1, 2, 3)]
    with pytest.raises(Unavailable, match=r"add route to 10\.99\.1\.1/32: .* \(and 2 more\)"):
        ours.apply([*map(add_route, bad), add_route(good)])
    assert rtnetlink_dump.own_routes(ours) == [good]
    ours.apply([delete_link("nothing-there")])
    assert rtnetlink_dump.own_routes(ours) == [good]


def test_batches_of_thousands_fit(overlay: int, ours: Connection) -> None:
    routes = [
        KernelRoute(IPv4Network((f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", 32)), overlay, VTEP)
        for n in range(7000)
    ]
    ours.apply(map(add_route, routes))
    assert set(rtnetlink_dump.own_routes(ours)) == set(routes)
    ours.apply(map(delete_route, routes))
    assert rtnetlink_dump.own_routes(ours) == []
