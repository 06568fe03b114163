"""Names as values: the zone, the answer to one query, and what is left to others."""

import random
from ipaddress import IPv4Address
from pathlib import Path

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
from hypothesis import given
from hypothesis import strategies as st

from agent.network.askers import Askers
from agent.network.attachment import Attachment
from agent.network.dns.answer import Answer, Asker, Forward, answer
from agent.network.dns.upstream import HostResolvers, matches, resolvers
from agent.network.dns.zone import Zone, zone
from shoal.api.v1.dispatcher_pb2 import Names, NetworkAssignment, TaskEndpoint
from shoal.api.v1.task_pb2 import TaskAddress

ASKER = Asker(("back", "front"), may_leave=True)
NETWORKS = [
    NetworkAssignment(network_id="front", subnet="10.0.1.0/24"),
    NetworkAssignment(network_id="back", subnet="10.0.2.0/24"),
]


def endpoint(slot: int, *places: str, service: str = "web", ready: bool = True) -> TaskEndpoint:
    return TaskEndpoint(
        task_id=f"t{slot}",
        service_name=service,
        slot=slot,
        node_id="node7",
        addresses=[
            TaskAddress(network_id=net, address=address) for net, _, address in (p.partition("=") for p in places)
        ],
        aliases={"front": Names(names=["www", service])},
        ready=ready,
    )


def names() -> Zone:
    return zone(
        NETWORKS,
        [
            endpoint(1, "front=10.0.1.1", "back=10.0.2.1"),
            endpoint(2, "front=10.0.1.2"),
            endpoint(3, "front=10.0.1.3", ready=False),
            endpoint(0, "front=10.0.1.9", service="Everywhere"),
            endpoint(1, "unknown=10.9.9.9", service="elsewhere"),
        ],
    )


def ask(wire: bytes, asker: Asker | None = ASKER, *, tcp: bool = False) -> dns.message.Message | None:
    decision = answer(wire, asker, names(), ttl=5, tcp=tcp, shuffle=random.Random(1))
    assert isinstance(decision, Answer)
    return dns.message.from_wire(decision.wire) if decision.wire is not None else None


def test_a_name_is_looked_for_on_the_askers_networks_in_their_order() -> None:
    found = names()
    assert found.find("web", ("front",)) == [IPv4Address("10.0.1.1"), IPv4Address("10.0.1.2")]
    assert found.find("web", ("back", "front")) == [IPv4Address("10.0.2.1")]
    assert found.find("www", ("back",)) is None
    assert found.find("www", ("front",)) == [IPv4Address(f"10.0.1.{last}") for last in (1, 2, 9)]
    assert found.find("web.3", ("front",)) == []
    assert found.find("everywhere.node7", ("front",)) == [IPv4Address("10.0.1.9")]
    assert found.find("elsewhere", ("front", "back", "unknown")) is None


def test_reverse_names_are_of_the_askers_networks_only() -> None:
    assert names().owner(IPv4Address("10.0.1.2"), ("front",)) == "web.2.t2"
    assert names().owner(IPv4Address("10.0.1.2"), ("back",)) is None


def test_answers_have_the_queries_number_and_a_short_life() -> None:
    query = dns.message.make_query("web", "A", use_edns=0)
    response = ask(query.to_wire())
    assert response is not None
    assert response.id == query.id
    assert response.flags & dns.flags.AA and response.flags & dns.flags.RA
    assert response.answer[0].ttl == 5
    assert response.edns == 0


def test_a_known_name_has_no_ipv6_address_and_that_is_no_error() -> None:
    response = ask(dns.message.make_query("web", "AAAA").to_wire())
    assert response is not None
    assert (response.rcode(), response.answer) == (dns.rcode.NOERROR, [])


def test_refusals() -> None:
    query = dns.message.make_query("web", "A")
    stranger = ask(query.to_wire(), None)
    query.set_opcode(dns.opcode.NOTIFY)
    notify = ask(query.to_wire())
    chaos = ask(dns.message.make_query("version.bind", "TXT", "CH").to_wire())
    unknown = ask(dns.message.make_query("example.org", "A").to_wire(), Asker(("front",), may_leave=False))
    codes = [response.rcode() for response in (stranger, notify, chaos, unknown) if response is not None]
    assert codes == [dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.REFUSED, dns.rcode.NXDOMAIN]


def test_other_names_are_forwarded() -> None:
    for name in ("example.org", "elsewhere", "1.1.168.192.in-addr.arpa", "_web._tcp.example.org"):
        wire = dns.message.make_query(name, "A").to_wire()
        decision = answer(wire, ASKER, names(), ttl=5, tcp=False, shuffle=random.Random(1))
        assert isinstance(decision, Forward), name


def test_answers_themselves_get_no_answer() -> None:
    response = dns.message.make_response(dns.message.make_query("web", "A"))
    assert ask(response.to_wire()) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_it(wire: bytes) -> None:
    answer(wire, ASKER, Zone(), ttl=5, tcp=False, shuffle=random.Random(1))


@given(st.integers(0, 300), st.sampled_from([0, 512, 1232, 4096]), st.booleans())
def test_no_answer_is_larger_than_the_asker_takes(count: int, payload: int, tcp: bool) -> None:
    tasks = [endpoint(n, f"front=10.0.1.{n % 250 + 1}", service="long-name-of-a-service") for n in range(1, count + 2)]
    edns = {"use_edns": 0, "payload": payload} if payload else {}
    query = dns.message.make_query("long-name-of-a-service", "A", **edns)  # type: ignore[arg-type]
    decision = answer(query.to_wire(), ASKER, zone(NETWORKS, tasks), ttl=5, tcp=tcp, shuffle=random.Random(1))
    assert isinstance(decision, Answer) and decision.wire is not None
    response = dns.message.from_wire(decision.wire)
    whole = len(response.answer[0]) == min(count + 1, 250)
    assert bool(response.flags & dns.flags.TC) != whole
    assert tcp <= whole
    assert tcp or len(decision.wire) <= min(max(payload, 512), 1232)


def test_the_hosts_resolvers_are_read_again_when_they_change_and_never_ourselves(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# c\nsearch example.org\nnameserver 169.254.1.1\nnameserver 192.0.2.53\nnameserver ::1\nnameserver x\n"
    )
    host = HostResolvers(file)
    assert host() == (IPv4Address("192.0.2.53"),)
    file.unlink()
    assert host() == (IPv4Address("192.0.2.53"),)
    file.write_text("nameserver 192.0.2.54\nnameserver 192.0.2.55\n")
    assert host() == resolvers(file.read_text()) != ()


def test_only_the_answer_to_our_own_question_is_believed() -> None:
    query = dns.message.make_query("example.org", "A")
    other = dns.message.make_query("example.com", "A", id=query.id)
    number = dns.message.make_query("example.org", "A", id=query.id ^ 1)
    assert matches(query.to_wire(), dns.message.make_response(query).to_wire())
    for forged in (other, number):
        assert not matches(query.to_wire(), dns.message.make_response(forged).to_wire())
    assert not matches(query.to_wire(), query.to_wire())
    assert not matches(query.to_wire(), b"")


def test_an_address_belongs_to_the_task_that_was_given_it_last() -> None:
    address = IPv4Address("10.0.1.1")
    old, new = (Attachment(name, 1, "", {"front": address}, None, ()) for name in ("old", "new"))
    askers = Askers()
    askers.add(old)
    askers.add(new)
    askers.remove("old")
    assert askers.find(address) == Asker(("front",), may_leave=False)
    askers.remove("new")
    askers.remove("new")
    assert askers.find(address) is None
    assert askers.addresses() == frozenset()
