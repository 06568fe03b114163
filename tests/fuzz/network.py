"""What reaches a node's network from outside, as bytes: each target takes any, and checks what the parser promises."""

import random
from ipaddress import IPv4Address

import dns.message
from google.protobuf.message import DecodeError

from agent.network.attachments.attachment import parse_alias
from agent.network.cluster_state.overlay_tables import overlay_tables
from agent.network.dns.answer import MAX_UDP_BYTES, Forward
from agent.network.dns.answer_cache import AnswerCache
from agent.network.dns.dns_clients import DnsClient
from agent.network.dns.upstream import matches, parse_resolv_conf
from agent.network.dns.wire_format import HEADER_BYTES, question_end, servfail, without_options
from agent.network.dns.zone import build_zone
from agent.network.netlink.connection import extended_error, parse_messages
from agent.network.netlink.rtnetlink import attribute, string, u32
from agent.network.netlink.rtnetlink_dump import parse_attributes
from agent.network.well_known import GATEWAY
from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment, Peer, TaskEndpoint
from shoal.api.v1.task_pb2 import TaskAddress
from shoal.errors import InvalidInput, Unavailable

_LINK = bytes(16) + string(3, "eth0") + u32(4, 1450) + attribute(1, b"\2\0\0\0\0\1")
_ASSIGNMENTS = Assignments(
    networks=[NetworkAssignment(network_id="a", subnet="10.0.0.0/24", supernet="10.0.0.0/22", subnet6="fd00::/64")],
    peers=[Peer(node_id="n2", address="192.0.2.2", vtep_mac="02:56:c0:00:02:02")],
    endpoints=[TaskEndpoint(task_id="t", node_id="n2", addresses=[TaskAddress(network_id="a", address="10.0.0.7")])],
)
EXAMPLES = (
    *(
        dns.message.make_query(name, kind, use_edns=edns).to_wire()
        for name, kind, edns in (
            ("web", "A", False),
            ("tasks.web", "AAAA", 0),
            ("_80._tcp.web", "SRV", 0),
            ("1.1.0.10.in-addr.arpa", "PTR", False),
            ("example.org", "MX", 0),
        )
    ),
    b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1",
    b"\0\1\1\0\0\1\0\0\0\0\0\1\3web\0\0\1\0\1\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08abcdefgh",
    b"nameserver 192.0.2.53\nnameserver 169.254.1.1\nnameserver fe80::1%eth0\noptions edns0\n",
    (16 + len(_LINK)).to_bytes(4, "little") + b"\x10\0\2\0\1\0\0\0\0\0\0\0" + _LINK,
    b"task1 mac=02:00:00:00:00:01 exit=10.0.0.7 local=172.30.0.5 dns=192.0.2.1,fd00::1 exit6=fd00::7",
    bytes(16),
    b"task1 mac=02:00:00:00:00:01 exit=999.0.0.7 local=1.2.3.4.5",
    _ASSIGNMENTS.SerializeToString(),
)

_NETWORKS = [NetworkAssignment(network_id="front", subnet="10.0.1.0/24", subnet6="fd01::/64")]
_TASKS = [
    TaskEndpoint(
        task_id=f"t{slot}",
        service_id="id-of-web",
        service_name="web",
        slot=slot,
        node_id="node7",
        addresses=[TaskAddress(network_id="front", address=f"10.0.1.{slot}", address6=f"fd01::{slot:x}")],
        ready=True,
    )
    for slot in range(1, 200)
]
_CLIENTS = (DnsClient(("front",), has_egress=True), DnsClient(("front",), has_egress=False), None)
_ANSWERS = AnswerCache(ttl_seconds=5, shuffle=random.Random(1))
_ANSWERS.zone = build_zone(_NETWORKS, _TASKS, [])


def fuzz_dns_query(data: bytes) -> None:
    """A query of a container: no answer, or one under its number that fits, and the same from what is kept."""
    for tcp in (False, True):
        for client in _CLIENTS:
            answer = _ANSWERS.answer(data, client, tcp=tcp)
            again = _ANSWERS.answer(data, client, tcp=tcp)
            if answer is None or isinstance(answer, Forward):
                assert again == answer
                assert answer is None or (client is not None and client.has_egress)
                continue
            assert isinstance(again, bytes) and len(again) == len(answer)
            assert answer[:2] == data[:2] and answer[2] & 0x80
            assert len(answer) <= (65535 if tcp else MAX_UDP_BYTES)


def fuzz_dns_bytes(data: bytes) -> None:
    """What is known of a query without reading all of it."""
    assert question_end(data) >= HEADER_BYTES
    bare = without_options(data)
    assert without_options(bare) == bare and data.startswith(bare[:-2] or bare)
    failed = servfail(data)
    assert failed is None or (failed[:2] == data[:2] and failed[2] & 0x80 and len(failed) <= len(data))


def fuzz_dns_answer_of_others(data: bytes) -> None:
    """What an upstream resolver, or someone in its name, answers."""
    query = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\3web\7example\0\0\1\0\1"
    if matches(query, data):
        assert data[:2] == query[:2] and data[2] & 0x80


def fuzz_resolv_conf(data: bytes) -> None:
    """The host's list of resolvers, in which we are not."""
    assert GATEWAY not in parse_resolv_conf(data.decode(errors="replace"))


def fuzz_netlink(data: bytes) -> None:
    """A datagram of netlink ends, in an error or with messages that are parts of it."""
    try:
        found = list(parse_messages(data))
    except Unavailable:
        return
    assert sum(16 + len(reply.body) for reply, _ in found) <= len(data)
    for reply, _ in found:
        assert sum(map(len, parse_attributes(reply.body, 0).values())) <= len(reply.body)
        assert extended_error(reply.body).isprintable() or "\ufffd" in extended_error(reply.body) or reply.body


def fuzz_link_alias(data: bytes) -> None:
    """The text on a link, which any program of the host may write."""
    if (alias := parse_alias(data.decode(errors="replace"))) is not None:
        assert alias.local is None or isinstance(alias.local, IPv4Address)


def fuzz_assignments(data: bytes) -> None:
    """A manager's word on networks: tables, or a fault that says what is wrong."""
    try:
        assignments = Assignments.FromString(data)
    except DecodeError:
        return
    try:
        overlay_tables(assignments.networks, assignments.endpoints, assignments.peers, "node7")
    except InvalidInput as error:
        assert error.faults
