"""Names as values: the zone, the answer to one query, and what is left to others."""

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
from agent.network.dns.dns_clients import DnsClient, DnsClients
from agent.network.dns.upstream import HostResolvers, matches, parse_resolv_conf
from agent.network.dns.wire_format import without_options
from agent.network.dns.zone import Zone, build_zone
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment
from tests.unit.network.names.known_names import CLIENT, NETWORKS, answers, ask, endpoint, names, query


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
