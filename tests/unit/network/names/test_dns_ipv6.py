"""Answers of both families: addresses of networks with IPv6."""

from ipaddress import IPv4Address, IPv6Address

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype

from agent.network.dns.dns_clients import DnsClient
from agent.network.dns.zone import Zone, build_zone
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint
from tests.unit.network.names.known_names import NETWORKS, answers, endpoint


def dual() -> Zone:
    """Network "six" has IPv6, "front" has none."""
    networks = [NETWORKS[0], NetworkAssignment(network_id="six", subnet="10.0.6.0/24", subnet6="fd06::/64")]
    tasks = [endpoint(slot, f"six=10.0.6.{slot}") for slot in (1, 2)]
    for each in tasks:
        each.addresses[0].address6 = f"fd06::{each.slot}"
    alone = endpoint(1, "front=10.0.1.1", service="old")
    record = ServiceEndpoint(service_id="id-of-web", service_name="web")
    record.virtual_addresses.add(network_id="six", address="10.0.6.250", address6="fd06::fa")
    return build_zone(networks, [*tasks, alone], [record])


def reported(name: str, kind: str) -> list[str]:
    wire = dns.message.make_query(name, kind).to_wire()
    response = answers(dual()).answer(wire, DnsClient(("six", "front"), has_egress=False), tcp=True)
    assert isinstance(response, bytes)
    found = dns.message.from_wire(response)
    assert found.rcode() == dns.rcode.NOERROR
    return sorted(str(record) for rrset in (*found.answer, *found.additional) for record in rrset)


def test_names_have_addresses_of_each_family_that_their_network_has() -> None:
    assert reported("web", "AAAA") == ["fd06::fa"]
    assert reported("web", "A") == ["10.0.6.250"]
    assert reported("web", "ANY") == ["10.0.6.250", "fd06::fa"]
    assert reported("tasks.web", "AAAA") == ["fd06::1", "fd06::2"]
    assert reported("web.1", "AAAA") == ["fd06::1"]
    assert reported("old", "AAAA") == []
    assert reported("old", "A") == ["10.0.1.1"]


def test_reverse_names_and_service_records_of_both_families() -> None:
    assert reported(IPv6Address("fd06::2").reverse_pointer, "PTR") == ["web.2.t2."]
    assert reported(IPv4Address("10.0.6.2").reverse_pointer, "PTR") == ["web.2.t2."]
    assert reported("_80._tcp.web", "SRV") == [
        "0 1 80 web.1.t1.", "0 1 80 web.2.t2.", "10.0.6.1", "10.0.6.2", "fd06::1", "fd06::2",
    ]  # fmt: skip


def test_unknown_addresses_of_our_own_subnet_are_nobodys() -> None:
    wire = dns.message.make_query(IPv6Address("fd06::77").reverse_pointer, "PTR").to_wire()
    response = answers(dual()).answer(wire, DnsClient(("six",), has_egress=True), tcp=False)
    assert isinstance(response, bytes)
    assert dns.message.from_wire(response).rcode() == dns.rcode.NXDOMAIN


def test_a_node_without_ipv6_tells_none() -> None:
    found = build_zone([NetworkAssignment(network_id="six", subnet="10.0.6.0/24", subnet6="fd06::/64")], [], ipv6=False)
    assert not found.covers(IPv6Address("fd06::1"))


def test_many_ipv6_addresses_are_cut_where_the_datagram_ends() -> None:
    tasks = [endpoint(slot, f"six=10.0.6.{slot}") for slot in range(1, 80)]
    for each in tasks:
        each.addresses[0].address6 = f"fd06::{each.slot}"
    of = build_zone([NetworkAssignment(network_id="six", subnet="10.0.6.0/24", subnet6="fd06::/64")], tasks)
    wire = dns.message.make_query("web", "AAAA", use_edns=0, payload=4096).to_wire()
    response = answers(of).answer(wire, DnsClient(("six",), has_egress=True), tcp=False)
    assert isinstance(response, bytes)
    assert len(response) <= 1232
    cut = dns.message.from_wire(response)
    assert cut.flags & dns.flags.TC
    assert len(cut.answer[0]) == (1232 - 12 - 9 - 11) // 28
