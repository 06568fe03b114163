"""Answers on services: virtual addresses, aliases and the records that lead to ports."""

from ipaddress import IPv4Address

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype

from agent.network.dns.dns_clients import DnsClient
from agent.network.dns.zone import build_zone
from shoal.api.v1.dispatcher_pb2 import ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import VirtualAddress
from tests.unit.network.names.known_names import CLIENT, NETWORKS, answers, endpoint, query, targets


def test_addresses_of_tasks_behind_a_virtual_address_are_told_for_the_moment() -> None:
    """Such a task is stopped as soon as nobody is led to it; one without waits until answers that were kept are old."""
    virtual = ServiceEndpoint(
        service_id="id-of-web",
        service_name="web",
        virtual_addresses=[VirtualAddress(network_id="front", address="10.0.1.100")],
    )
    places = [endpoint(1, "front=10.0.1.1", "back=10.0.2.1")]
    kept = answers(build_zone(NETWORKS, places, [virtual]))

    def ttl(name: str, kind: str, network: str) -> int:
        wire = kept.answer(
            dns.message.make_query(name, kind).to_wire(), DnsClient((network,), has_egress=True), tcp=False
        )
        assert isinstance(wire, bytes)
        return dns.message.from_wire(wire).answer[0].ttl

    assert {name: ttl(name, "A", "front") for name in ("web", "www", "tasks.web", "web.1", "web.1.t1")} == {
        **dict.fromkeys(("web", "www"), 5),
        **dict.fromkeys(("tasks.web", "web.1", "web.1.t1"), 0),
    }
    assert ttl("_80._tcp.web", "SRV", "front") == 0
    assert ttl("web", "A", "back") == ttl("tasks.web", "A", "back") == 5


def test_an_alias_of_a_service_with_a_virtual_address_leads_to_its_tasks_as_the_services_own_name_does() -> None:
    """In a stack the plain name of a service is an alias."""
    service = ServiceEndpoint(
        service_id="id-of-web",
        service_name="web",
        virtual_addresses=[VirtualAddress(network_id="front", address="10.0.1.100")],
    )
    found = build_zone(NETWORKS, [endpoint(slot, f"front=10.0.1.{slot}") for slot in (1, 2)], [service])
    both = (IPv4Address("10.0.1.1"), IPv4Address("10.0.1.2"))
    assert found.find("www", ("front",)) == (IPv4Address("10.0.1.100"),)
    assert found.find("tasks.www", ("front",)) == found.find("tasks.web", ("front",)) == both
    wire = answers(found).answer(
        dns.message.make_query("_8080._tcp.www", "SRV").to_wire(), DnsClient(("front",), has_egress=True), tcp=False
    )
    assert isinstance(wire, bytes)
    assert targets(dns.message.from_wire(wire)) == [("web.1.t1.", 80), ("web.2.t2.", 80)]


def test_an_alias_of_several_services_leads_to_those_that_have_a_ready_task() -> None:
    """So what comes beside the old one gets clients by the name of both once it can answer."""
    both = [
        ServiceEndpoint(
            service_id=f"id-of-{name}",
            service_name=name,
            virtual_addresses=[VirtualAddress(network_id="front", address=address)],
        )
        for name, address in (("blue", "10.0.1.100"), ("green", "10.0.1.200"))
    ]

    def led_to(name: str, *, blue: bool, green: bool) -> set[str]:
        endpoints = [
            endpoint(1, "front=10.0.1.1", service="blue", ready=blue),
            endpoint(1, "front=10.0.1.2", service="green", ready=green),
        ]
        return {str(address) for address in build_zone(NETWORKS, endpoints, both).find(name, ("front",)) or ()}

    assert led_to("www", blue=True, green=False) == {"10.0.1.100"}
    assert led_to("www", blue=False, green=True) == {"10.0.1.200"}
    assert led_to("www", blue=True, green=True) == led_to("www", blue=False, green=False)
    assert led_to("www", blue=False, green=False) == {"10.0.1.100", "10.0.1.200"}
    assert led_to("green", blue=True, green=False) == {"10.0.1.200"}


def test_a_service_that_comes_to_a_network_task_by_task_is_reached_on_the_other_one_until_somebody_is_ready() -> None:
    service = ServiceEndpoint(
        service_id="id-of-web",
        service_name="web",
        virtual_addresses=[
            VirtualAddress(network_id=network, address=address)
            for network, address in (("front", "10.0.1.100"), ("back", "10.0.2.100"))
        ],
    )
    other = endpoint(1, "front=10.0.1.9", service="other")
    other.aliases["front"].names[:] = ["lone"]

    def led_to(name: str, *endpoints: TaskEndpoint) -> set[str]:
        found = build_zone(NETWORKS, [*endpoints, other], [service]).find(name, ("back", "front"))
        return {str(address) for address in found or ()}

    stays = endpoint(1, "front=10.0.1.1")
    comes = endpoint(2, "front=10.0.1.2", "back=10.0.2.2", ready=False)
    assert led_to("web", stays) == led_to("web", stays, comes) == {"10.0.1.100"}
    comes.ready = True
    assert led_to("web", stays, comes) == {"10.0.2.100"}
    stays.ready = comes.ready = False
    assert led_to("web", stays, comes) == {"10.0.2.100"}
    comes.aliases["back"].names[:] = ["lone"]
    assert led_to("lone", stays, comes) == {"10.0.2.100"}, "another service of that name is not what was asked for"


def test_srv_records_lead_to_the_ready_tasks_by_either_number_of_a_published_port() -> None:
    everyone = [("Everywhere.node7.t0.", 80), ("web.1.t1.", 80), ("web.2.t2.", 80)]
    front = DnsClient(("front",), has_egress=True)
    for name in ("_80._tcp.web", "_8080._tcp.tasks.web", "_8080._TCP.WEB"):
        assert targets(query(name, "SRV", front)) == everyone[1:]
    assert targets(query("_80._tcp.www", "SRV", front)) == everyone
    assert targets(query("_53._udp.web.2", "SRV", front)) == [("web.2.t2.", 53)]
    assert targets(query("_80._tcp.web.3", "SRV", front)) == []
    additional = {record.to_text() for rrset in query("_80._tcp.web", "SRV", front).additional for record in rrset}
    assert additional == {"10.0.1.1", "10.0.1.2"}


def test_srv_records_of_ports_that_nobody_publishes_do_not_exist() -> None:
    assert query("_81._tcp.web", "SRV").rcode() == dns.rcode.NXDOMAIN
    assert query("_80._udp.web", "SRV").rcode() == dns.rcode.NXDOMAIN
    assert query("_80._tcp.web", "TXT").answer == []
    # A network that the asker is not on has no names for it, behind whatever prefix.
    assert query("_80._tcp.www", "SRV", DnsClient(("back",), has_egress=False)).rcode() == dns.rcode.NXDOMAIN


def test_many_srv_records_are_cut_over_udp() -> None:
    tasks = [endpoint(n, f"front=10.0.1.{n}", service="long-name-of-a-service") for n in range(1, 101)]
    wire = dns.message.make_query("_80._tcp.long-name-of-a-service", "SRV", use_edns=0, payload=4096).to_wire()
    over_udp, over_tcp = (answers(build_zone(NETWORKS, tasks)).answer(wire, CLIENT, tcp=tcp) for tcp in (False, True))
    assert isinstance(over_udp, bytes) and isinstance(over_tcp, bytes)
    assert len(over_udp) <= 1232 and dns.message.from_wire(over_udp).flags & dns.flags.TC
    assert len(targets(dns.message.from_wire(over_tcp))) == 100
