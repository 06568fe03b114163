"""IPv6 of a node, as values: what the kernel should hold, rules of both families, and what a link's alias tells."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from agent.network.attachments.attachment import Attachment, Port, local_address6, parse_alias
from agent.network.attachments.local_pool import DEFAULT_POOL
from agent.network.attachments.task_attachment import new_attachment
from agent.network.cluster_state.overlay_tables import OverlaySubnet, assign_ingress_marks, overlay_tables
from agent.network.cluster_state.service_map import Frontend, FrontendKind, service_map
from agent.network.host import ipv6_support
from agent.network.host.underlay import Underlay, overlay_address, overlay_address6
from agent.network.ip_types import AF_INET, AF_INET6
from agent.network.kernel_state import desired_state
from agent.network.netlink.rtnetlink import ZONE_MASK, KernelRoute, Neighbour
from agent.network.nftables import set_elements
from agent.network.nftables.ipv6_rules import ipv6_name, ipv6_text
from agent.network.nftables.rule_ports import RulePorts
from agent.network.nftables.ruleset import DYNAMIC_SETS, MAPS, SETS, chains
from agent.worker.sandbox import ORDINARY
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskPort
from shoal.errors import InvalidInput, Refused
from shoal.networks.vtep import vtep_mac

POOL = DEFAULT_POOL
PEER, PEER6 = IPv4Address("192.0.2.2"), IPv6Address("2001:db8::2")
PREFIX6 = IPv6Network("fd01::/64")


def reported(peer: str) -> tuple[list[NetworkAssignment], list[TaskEndpoint], list[Peer]]:
    """A network with IPv6 and the mesh's, a task on another node."""
    network = NetworkAssignment(network_id="front", name="front", subnet="10.0.1.0/24", subnet6=str(PREFIX6))
    mesh = NetworkAssignment(network_id="ingress", name="ingress", subnet="10.255.0.0/16", mesh=True)
    place = TaskAddress(network_id="front", address="10.0.1.8", address6="fd01::8")
    there = TaskEndpoint(task_id="t8", service_id="web", service_name="web", node_id="n2", addresses=[place])
    return [network, mesh], [there], [Peer(node_id="n2", address=peer, vtep_mac="02:56:00:00:00:02")]


def test_a_remote_address_of_each_family_leads_to_its_node() -> None:
    state = desired_state(overlay_tables(*reported(str(PEER)), "n1"), [], 3, POOL, ipv6=True)
    there = overlay_address6(PEER)
    assert KernelRoute(IPv6Network("fd01::8"), 3, there) in state.routes
    assert KernelRoute(PREFIX6, 0) in state.routes
    assert {entry for entry in state.neighbours if entry.link == 3} == {
        Neighbour(3, PEER, "02:56:00:00:00:02"),
        Neighbour(3, there, "02:56:00:00:00:02"),
    }
    assert {rule.family for rule in state.rules} == {AF_INET, AF_INET6}
    (mark,) = assign_ingress_marks([PEER]).values()
    assert KernelRoute(IPv6Network("::/0"), 3, there, table=mark) in state.routes


def test_over_an_ipv6_underlay_all_goes_to_the_nodes_address_in_the_overlay() -> None:
    state = desired_state(overlay_tables(*reported(str(PEER6)), "n1"), [], 3, POOL, ipv6=True)
    there = overlay_address6(PEER6)
    hops = {route.via for route in state.routes if route.via is not None}
    assert hops == {there}
    assert {entry.vtep for entry in state.fdb} == {PEER6}


def test_a_node_without_ipv6_holds_none_of_it() -> None:
    known = overlay_tables(*reported(str(PEER)), "n1", ipv6=False)
    state = desired_state(known, [], 3, POOL, ipv6=False)
    assert {route.destination.version for route in state.routes} == {4}
    assert {entry.address.version for entry in state.neighbours} == {4}


def test_subnets_of_each_family_are_disjoint() -> None:
    networks, endpoints, peers = reported(str(PEER))
    networks[1].subnet6 = "fd01:0:0:0:8::/80"
    with pytest.raises(InvalidInput, match=r"fd01::8:0:0:0/80 overlaps fd01::/64 of network front"):
        overlay_tables(networks, endpoints, peers, "n1")


def test_marks_differ_though_addresses_end_alike() -> None:
    found = assign_ingress_marks([IPv4Address("10.0.0.1"), IPv4Address("11.0.0.1"), PEER6])
    assert len(set(found.values())) == 3
    assert all(mark >> 24 == 0x53 for mark in found.values())


def test_zones_of_nodes_differ_and_none_is_the_one_of_all_else() -> None:
    alike = [IPv4Address(f"10.{number}.0.0") for number in range(200)]
    found = assign_ingress_marks([*alike, *(IPv4Address(f"10.1.0.{number}") for number in range(1, 200))])
    zones = {mark & ZONE_MASK for mark in found.values()}
    assert len(zones) == len(set(found.values())) == 399 and 0 not in zones


def test_nodes_addresses_in_the_overlay() -> None:
    assert overlay_address6(PEER) == IPv6Address("fd53:686f:616c:1::c000:202")
    assert overlay_address(PEER) == PEER
    assert overlay_address(PEER6).is_reserved
    assert vtep_mac(PEER6) != vtep_mac(IPv6Address("2001:db8::3"))
    assert (Underlay(PEER, 2, 1500).overlay_mtu, Underlay(PEER6, 2, 1500).overlay_mtu) == (1450, 1430)


def test_a_rule_for_one_family_becomes_that_of_the_other() -> None:
    assert ipv6_name("same_network") == "same_network6"
    assert ipv6_name("virtual_64") == "virtual6_64"
    names = {"@same_network": "@same_network6", "169.254.1.1": "fd53::1"}
    assert ipv6_text("ip saddr . ip daddr @same_network snat ip to 169.254.1.1", names) == (
        "ip6 saddr . ip6 daddr @same_network6 snat ip6 to fd53::1"
    )
    assert ipv6_text("ip daddr @pairs_too meta l4proto tcp", names) == "ip6 daddr @pairs_too meta l4proto tcp"


@pytest.mark.parametrize("underlay", [PEER, PEER6])
def test_rules_name_only_sets_that_there_are(underlay: IPv4Address | IPv6Address) -> None:
    known = {*SETS, *MAPS, *DYNAMIC_SETS}
    for name, rules in chains(RulePorts(4096, 4789, (51832, 51833)), underlay).items():
        for rule in rules:
            used = {word.lstrip("@") for word in rule.split() if word.startswith("@") and not word.startswith("@th,")}
            assert used <= known, (name, rule)
            assert not ("ip6 saddr" in rule and "ip saddr" in rule.replace("ip6 saddr", "")), rule
    assert {f"{name}6" for name in SETS if "ipv4_addr" in SETS[name]} <= known


def attachment(*ports: Port) -> Attachment:
    return Attachment(
        "task000000001", 7, "02:00:00:00:00:01", {"front": IPv4Address("10.0.1.1")}, IPv4Address("10.0.1.1"), ports,
        addresses6={"front": IPv6Address("fd01::1")}, egress_address6=IPv6Address("fd01::1"),
    )  # fmt: skip


def test_published_ports_by_family() -> None:
    every, all6 = Port(6, None, 80, 8080), Port(6, IPv6Address("::"), 81, 8080)
    one6, local6 = Port(6, PEER6, 82, 8080), Port(6, IPv6Address("::1"), 83, 8080)
    all4 = Port(6, IPv4Address("0.0.0.0"), 84, 8080)
    found = set_elements.attachment_elements(attachment(every, all6, one6, local6, all4))
    assert found["published"] == {"6 . 80 : 10.0.1.1 . 8080", "6 . 84 : 10.0.1.1 . 8080"}
    assert found["published6"] == {"6 . 80 : fd01::1 . 8080", "6 . 81 : fd01::1 . 8080"}
    assert found["published_at"] == set()
    assert found["published_at6"] == {
        "6 . 2001:db8::2 . 82 : fd01::1 . 8080",
        "6 . fd53:686f:616c::2 . 83 : fd01::1 . 8080",  # where our relay comes from ::1 to
    }


def test_an_alias_tells_a_later_process_of_the_way_out() -> None:
    alias = parse_alias(attachment().alias)
    assert alias is not None
    assert (alias.egress_address, alias.egress_address6) == (IPv4Address("10.0.1.1"), IPv6Address("fd01::1"))
    assert len(attachment().alias) < 256


def test_what_a_task_gets() -> None:
    subnets = overlay_tables(*reported(str(PEER)), "n1").subnets
    place = TaskAddress(network_id="front", address="10.0.1.1", address6="fd01::1")
    found = new_attachment(Task(id="t", addresses=[place]), subnets, None, ORDINARY, ipv6=True)
    assert (found.addresses6, found.egress_address6) == ({"front": IPv6Address("fd01::1")}, IPv6Address("fd01::1"))
    without = new_attachment(Task(id="t", addresses=[place]), subnets, None, ORDINARY, ipv6=False)
    assert (without.addresses6, without.egress_address6) == ({}, None)
    local = IPv4Address("172.30.0.7")
    alone = new_attachment(Task(id="t"), subnets, local, ORDINARY, ipv6=True)
    assert alone.addresses6 == {"": local_address6(local)} == {"": IPv6Address("fd53:686f:616c:2::ac1e:7")}
    port = TaskPort(target=80, published=80, host_address="::1")
    with pytest.raises(Refused, match="publishes port 80 on ::1 but has no IPv6 address"):
        new_attachment(Task(id="t", addresses=[place], ports=[port]), subnets, None, ORDINARY, ipv6=False)


def test_an_internal_network_is_no_way_out() -> None:
    place = TaskAddress(network_id="db", address="10.0.9.1", address6="fd09::1")
    subnets = {
        "db": OverlaySubnet(
            next(iter(overlay_tables(*reported(str(PEER)), "n1").subnets.values())).prefix, True, prefix6=PREFIX6
        )
    }
    found = new_attachment(Task(id="t", addresses=[place]), subnets, None, ORDINARY, ipv6=True)
    assert found.egress_address6 is None


def test_frontends_of_each_family() -> None:
    place = TaskAddress(network_id="ingress", address="10.255.0.2", address6="fd0f::2")
    task = TaskEndpoint(task_id="t", service_id="web", node_id="n1", ready=True, addresses=[place])
    mesh = NetworkAssignment(network_id="ingress", subnet="10.255.0.0/16", subnet6="fd0f::/64", mesh=True)
    ports = [PublishedPort(target=80, published=8000 + index, host_address=host)
             for index, host in enumerate(("", "::", "0.0.0.0", "::1", "127.0.0.1"))]  # fmt: skip
    record = ServiceEndpoint(service_id="web", service_name="web", mesh_ports=ports)
    found = service_map([mesh], [task], [record], "n1")
    assert {(each.kind, each.key) for each in found.backends} == {
        (FrontendKind.MESH, "6 . 8000"), (FrontendKind.MESH6, "6 . 8000"), (FrontendKind.MESH6, "6 . 8001"),
        (FrontendKind.MESH, "6 . 8002"),
        (FrontendKind.MESH_AT6, "6 . fd53:686f:616c::2 . 8003"), (FrontendKind.MESH_AT, "6 . 127.0.0.1 . 8004"),
    }  # fmt: skip
    assert found.backends[Frontend(FrontendKind.MESH6, "6 . 8000")] == {"fd0f::2 . 80"}
    assert found.targets6 == {"fd0f::2 . 6 . 80"}
    only4 = service_map([mesh], [task], [record], "n1", ipv6=False)
    assert {each.kind.version for each in only4.backends} == {4}


def settings_of(path: Path, **values: str) -> Path:
    for name, value in values.items():
        scope, _, key = name.partition("__")
        (path / scope).mkdir(exist_ok=True)
        (path / scope / key).write_text(value)
    return path


def test_why_a_host_has_no_ipv6(tmp_path: Path) -> None:
    assert ipv6_support.unavailable_reason(1450, tmp_path / "none").startswith("the kernel has no IPv6 support")
    on = settings_of(tmp_path, all__disable_ipv6="0\n", default__disable_ipv6="0\n")
    assert ipv6_support.unavailable_reason(1450, on) == ""
    assert ipv6_support.unavailable_reason(1279, on) == "the overlay MTU is 1279; IPv6 requires at least 1280"
    off = settings_of(tmp_path, default__disable_ipv6="1\n")
    assert ipv6_support.unavailable_reason(1450, off) == "IPv6 is disabled (net.ipv6.conf.default.disable_ipv6)"


def test_forwarding_leaves_a_hosts_routers_believed(tmp_path: Path) -> None:
    where = settings_of(
        tmp_path,
        all__forwarding="0",
        all__accept_ra="1",
        default__accept_ra="1",
        eth0__accept_ra="1",
        eth1__accept_ra="0",
    )
    ipv6_support.enable_forwarding(where)
    assert ipv6_support.is_forwarding_enabled(where)
    assert [(where / name / "accept_ra").read_text() for name in ("eth0", "eth1", "default")] == ["2", "0", "1"]
