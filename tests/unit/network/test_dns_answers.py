"""Names as values: the zone, the answer to one query, and what is left to others."""

import random
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
from hypothesis import given
from hypothesis import strategies as st

from agent.network.attachments.attachment import Attachment
from agent.network.dns.answer import Forward
from agent.network.dns.answer_cache import AnswerCache
from agent.network.dns.dns_clients import DnsClient, DnsClients
from agent.network.dns.upstream import HostResolvers, matches, parse_resolv_conf
from agent.network.dns.wire_format import without_options
from agent.network.dns.zone import Zone, build_zone
from shoal.api.v1.dispatcher_pb2 import Aliases, EndpointPort, NetworkAssignment, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort, VirtualAddress
from shoal.api.v1.task_pb2 import TaskAddress

CLIENT = DnsClient(("back", "front"), has_egress=True)
NETWORKS = [
    NetworkAssignment(network_id="front", subnet="10.0.1.0/24"),
    NetworkAssignment(network_id="back", subnet="10.0.2.0/24"),
]


def endpoint(slot: int, *places: str, service: str = "web", ready: bool = True) -> TaskEndpoint:
    return TaskEndpoint(
        task_id=f"t{slot}",
        service_id=f"id-of-{service}",
        service_name=service,
        slot=slot,
        node_id="node7",
        addresses=[
            TaskAddress(network_id=net, address=address) for net, _, address in (p.partition("=") for p in places)
        ],
        aliases={"front": Aliases(names=["www", service])},
        ready=ready,
        ports=[
            EndpointPort(protocol=PublishedPort.TCP, target=80, published=8080),
            EndpointPort(protocol=PublishedPort.UDP, target=53),
        ],
    )


def names() -> Zone:
    return build_zone(
        NETWORKS,
        [
            endpoint(1, "front=10.0.1.1", "back=10.0.2.1"),
            endpoint(2, "front=10.0.1.2"),
            endpoint(3, "front=10.0.1.3", ready=False),
            endpoint(0, "front=10.0.1.9", service="Everywhere"),
            endpoint(1, "unknown=10.9.9.9", service="elsewhere"),
        ],
    )


def answers(of: Zone) -> AnswerCache:
    kept = AnswerCache(ttl_seconds=5, shuffle=random.Random(1))
    kept.zone = of
    return kept


def ask(wire: bytes, dns_client: DnsClient | None = CLIENT, *, tcp: bool = False) -> dns.message.Message | None:
    response = answers(names()).answer(wire, dns_client, tcp=tcp)
    assert not isinstance(response, Forward)
    return dns.message.from_wire(response) if response is not None else None


def query(name: str, kind: str = "A", dns_client: DnsClient = CLIENT) -> dns.message.Message:
    response = ask(dns.message.make_query(name, kind).to_wire(), dns_client)
    assert response is not None
    return response


def test_a_name_is_looked_for_on_the_askers_networks_in_their_order() -> None:
    found = names()
    assert found.find("web", ("front",)) == (IPv4Address("10.0.1.1"), IPv4Address("10.0.1.2"))
    assert found.find("web", ("back", "front")) == (IPv4Address("10.0.2.1"),)
    assert found.find("www", ("back",)) is None
    assert found.find("www", ("front",)) == tuple(IPv4Address(f"10.0.1.{last}") for last in (1, 2, 9))
    assert found.find("web.3", ("front",)) == ()
    assert found.find("everywhere.node7", ("front",)) == (IPv4Address("10.0.1.9"),)
    assert found.find("elsewhere", ("front", "back", "unknown")) is None


def test_reverse_names_are_of_the_askers_networks_only() -> None:
    assert names().owner_name(IPv4Address("10.0.1.2"), ("front",)) == "web.2.t2"
    assert names().owner_name(IPv4Address("10.0.1.2"), ("back",)) is None


def test_answers_have_the_queries_number_and_a_short_life() -> None:
    question = dns.message.make_query("web", "A", use_edns=0)
    response = ask(question.to_wire())
    assert response is not None
    assert response.id == question.id
    assert response.flags & dns.flags.AA and response.flags & dns.flags.RA
    assert response.answer[0].ttl == 5
    assert response.edns == 0


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


def test_a_known_name_has_no_ipv6_address_and_that_is_no_error() -> None:
    response = ask(dns.message.make_query("web", "AAAA").to_wire())
    assert response is not None
    assert (response.rcode(), response.answer) == (dns.rcode.NOERROR, [])


def test_refusals() -> None:
    question = dns.message.make_query("web", "A")
    stranger = ask(question.to_wire(), None)
    question.set_opcode(dns.opcode.NOTIFY)
    notify = ask(question.to_wire())
    chaos = ask(dns.message.make_query("version.bind", "TXT", "CH").to_wire())
    unknown = ask(dns.message.make_query("example.org", "A").to_wire(), DnsClient(("front",), has_egress=False))
    codes = [response.rcode() for response in (stranger, notify, chaos, unknown) if response is not None]
    assert codes == [dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.REFUSED, dns.rcode.NXDOMAIN]


def test_other_names_are_forwarded() -> None:
    for name in ("example.org", "elsewhere", "1.1.168.192.in-addr.arpa", "_web._tcp.example.org", "_80._tcp.elsewhere"):
        wire = dns.message.make_query(name, "A").to_wire()
        assert isinstance(answers(names()).answer(wire, CLIENT, tcp=False), Forward), name


def test_answers_themselves_get_no_answer() -> None:
    response = dns.message.make_response(dns.message.make_query("web", "A"))
    assert ask(response.to_wire()) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_it(wire: bytes) -> None:
    kept = answers(names())
    for dns_client in (CLIENT, None):
        response = kept.answer(wire, dns_client, tcp=False)
        # Nobody can make us send much more than was sent to us.
        assert response is None or isinstance(response, Forward) or len(response) <= len(wire) + 64


PLACES = ("front", "back", "side")
KNOWN = ("web", "tasks.web", "web.1", "web.1.t1", "www", "db", "_80._tcp.db", "_8080._tcp.tasks.web", "_80._tcp.www")


@given(
    st.lists(st.tuples(st.sampled_from(["web", "db"]), st.sets(st.sampled_from(PLACES), min_size=1)), max_size=8),
    st.lists(st.sampled_from(PLACES), unique=True),
    st.sampled_from([*KNOWN, *(f"{n}.{net}.0.10.in-addr.arpa" for n in range(1, 9) for net in range(1, 4))]),
    st.sampled_from(["A", "AAAA", "SRV", "PTR", "ANY"]),
    st.booleans(),
)
def test_nobody_gets_an_answer_from_a_network_that_it_is_not_on(
    tasks: list[tuple[str, set[str]]], networks: list[str], name: str, kind: str, may_leave: bool
) -> None:
    subnets = [
        NetworkAssignment(network_id=place, subnet=f"10.0.{number}.0/24") for number, place in enumerate(PLACES, 1)
    ]
    every = [
        endpoint(slot, *(f"{place}=10.0.{PLACES.index(place) + 1}.{slot}" for place in places), service=service)
        for slot, (service, places) in enumerate(tasks, 1)
    ]
    wire = dns.message.make_query(name, kind).to_wire()
    response = answers(build_zone(subnets, every)).answer(wire, DnsClient(tuple(networks), may_leave), tcp=True)
    if not isinstance(response, bytes):
        return
    message = dns.message.from_wire(response)
    mine = {each.task_id: each for each in every if any(place.network_id in networks for place in each.addresses)}
    for record in (record for rrset in (*message.answer, *message.additional) for record in rrset):
        if record.rdtype == dns.rdatatype.A:
            number = int(record.address.split(".")[2])
            assert PLACES[number - 1] in networks
        else:
            assert record.target.to_text().split(".")[-2] in mine


@given(st.integers(0, 300), st.sampled_from([0, 512, 1232, 4096]), st.booleans())
def test_no_answer_is_larger_than_the_asker_takes(count: int, payload: int, tcp: bool) -> None:
    tasks = [endpoint(n, f"front=10.0.1.{n % 250 + 1}", service="long-name-of-a-service") for n in range(1, count + 2)]
    edns = {"use_edns": 0, "payload": payload} if payload else {}
    question = dns.message.make_query("long-name-of-a-service", "A", **edns)  # type: ignore[arg-type]
    wire = answers(build_zone(NETWORKS, tasks)).answer(question.to_wire(), CLIENT, tcp=tcp)
    assert isinstance(wire, bytes)
    response = dns.message.from_wire(wire)
    whole = len(response.answer[0]) == min(count + 1, 250)
    assert bool(response.flags & dns.flags.TC) != whole
    assert tcp <= whole
    assert tcp or len(wire) <= min(max(payload, 512), 1232)


def targets(response: dns.message.Message) -> list[tuple[str, int]]:
    assert response.rcode() == dns.rcode.NOERROR
    return sorted((record.target.to_text(), record.port) for rrset in response.answer for record in rrset)


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


def test_the_question_comes_back_in_the_case_in_which_it_was_asked() -> None:
    for name in ("wEb", "TASKS.web", "_80._tCp.WeB"):
        assert query(name, "ANY").question[0].name.to_text() == f"{name}."


def test_kept_answers_differ_by_asker_and_transport_and_end_with_their_zone() -> None:
    kept = answers(names())
    wire = dns.message.make_query("web", "A").to_wire()
    outcomes = {}
    for dns_client in (CLIENT, DnsClient(("front",), has_egress=True), None, CLIENT):
        response = kept.answer(wire, dns_client, tcp=False)
        assert isinstance(response, bytes) and response[:2] == wire[:2]
        outcomes[dns_client] = response
    assert len(set(outcomes.values())) == 3
    renumbered = kept.answer(b"\xab\xcd" + wire[2:], CLIENT, tcp=False)
    assert isinstance(renumbered, bytes) and renumbered == b"\xab\xcd" + outcomes[CLIENT][2:]
    kept.zone = Zone()
    assert isinstance(kept.answer(wire, CLIENT, tcp=False), Forward)


@given(st.binary(max_size=40), st.sampled_from(["web", "tasks.web.", "example.org", "."]), st.integers(0, 1))
def test_options_of_a_query_change_no_answer(data: bytes, name: str, flags: int) -> None:
    plain = dns.message.make_query(name, "A", use_edns=0, payload=1400, want_dnssec=bool(flags))
    fancy = dns.message.make_query(name, "A", id=plain.id, use_edns=0, payload=1400, want_dnssec=bool(flags))
    fancy.use_edns(0, plain.ednsflags, 1400, options=[dns.edns.GenericOption(dns.edns.OptionType.make(65_001), data)])
    assert without_options(fancy.to_wire()) == plain.to_wire() == without_options(plain.to_wire())


@given(st.binary(max_size=60))
def test_what_is_no_query_with_options_stays_as_it_is(data: bytes) -> None:
    for wire in (data, b"\0\1\1\0\0\1\0\0\0\0\0\1" + data):
        assert wire.startswith(without_options(wire)[:12])


def test_every_address_comes_first_at_times() -> None:
    tasks = [endpoint(n, f"front=10.0.1.{n}") for n in range(1, 6)]
    kept = answers(build_zone(NETWORKS, tasks))
    wire = dns.message.make_query("web", "A").to_wire()
    first = set()
    for _ in range(200):
        response = kept.answer(wire, CLIENT, tcp=False)
        assert isinstance(response, bytes)
        first.add(dns.message.from_wire(response).answer[0][0].to_text())
    assert len(first) == 5


def test_the_hosts_resolvers_are_read_again_when_they_change_and_never_ourselves(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# c\nsearch example.org\nnameserver 169.254.1.1\nnameserver 192.0.2.53\nnameserver fd00::53\nnameserver x\n"
    )
    host = HostResolvers(file)
    assert host() == (IPv4Address("192.0.2.53"), IPv6Address("fd00::53"))
    file.unlink()
    assert host() == (IPv4Address("192.0.2.53"), IPv6Address("fd00::53"))
    file.write_text("nameserver 192.0.2.54\nnameserver 192.0.2.55\n")
    assert host() == parse_resolv_conf(file.read_text()) != ()


def test_only_the_answer_to_our_own_question_is_believed() -> None:
    asked = dns.message.make_query("example.org", "A")
    other = dns.message.make_query("example.com", "A", id=asked.id)
    number = dns.message.make_query("example.org", "A", id=asked.id ^ 1)
    assert matches(asked.to_wire(), dns.message.make_response(asked).to_wire())
    for forged in (other, number):
        assert not matches(asked.to_wire(), dns.message.make_response(forged).to_wire())
    assert not matches(asked.to_wire(), asked.to_wire())
    assert not matches(asked.to_wire(), b"")


def test_an_address_belongs_to_the_task_that_was_given_it_last() -> None:
    address = IPv4Address("10.0.1.1")
    old, new = (Attachment(name, 1, "", {"front": address}, None, ()) for name in ("old", "new"))
    clients = DnsClients()
    clients.add(old)
    clients.add(new)
    clients.remove("old")
    assert clients.find(address) == DnsClient(("front",), has_egress=False)
    clients.remove("new")
    clients.remove("new")
    assert clients.find(address) is None
    assert clients.addresses() == frozenset()


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
