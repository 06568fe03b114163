"""From a query to its answer: a function over values. What is not the cluster's is left to the upstream resolvers.

RFC 1035 (messages), RFC 2308 (negative answers), RFC 6891 (EDNS).
"""

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from agent.network.dns.zone import Zone

PLAIN_UDP_BYTES = 512
LARGEST_UDP_BYTES = 1232
"""No answer over UDP is larger, whatever the asker takes: it must pass every path unfragmented (DNS flag day 2020)."""
_LARGEST_TCP_BYTES = 65535
_HEADER_BYTES = 12
_RECORD_BYTES = 16
_RECORD_START = struct.pack(">HHH", 0xC000 | _HEADER_BYTES, dns.rdatatype.A, dns.rdataclass.IN)
"""Of an address record: the question's name, by a pointer to it (RFC 1035, 4.1.4), type and class."""
_REVERSE = dns.name.from_text("in-addr.arpa.")


@dataclass(frozen=True)
class Asker:
    """Who asks: its networks, in the order in which names are looked for, and whether it may leave the cluster."""

    networks: Sequence[str]
    may_leave: bool


@dataclass(frozen=True)
class Answer:
    """What to send back; None to send nothing."""

    wire: bytes | None


@dataclass(frozen=True)
class Forward:
    """The query is for an upstream resolver."""

    query: dns.message.Message


def answer(
    wire: bytes, asker: Asker | None, zone: Zone, *, ttl: int, tcp: bool, shuffle: random.Random
) -> Answer | Forward:
    """Decide on one query. Garbage and answers get no reply; an unknown asker is refused.

    Args:
        ttl: of the cluster's own records, seconds.
        shuffle: decides the order of addresses, so that askers that take the first spread over all.
    """
    try:
        query = dns.message.from_wire(wire, ignore_trailing=False)
    except (dns.exception.DNSException, ValueError, IndexError, KeyError):
        return Answer(None)
    if query.flags & dns.flags.QR:
        return Answer(None)
    if (code := _fault(query, asker)) is not None or asker is None:
        return Answer(refusal(query, code or dns.rcode.REFUSED))
    return _answer_question(query, asker, zone, ttl=ttl, tcp=tcp, shuffle=shuffle)


def _fault(query: dns.message.Message, asker: Asker | None) -> dns.rcode.Rcode | None:
    if query.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if len(query.question) != 1:
        return dns.rcode.FORMERR
    if asker is None or query.question[0].rdclass != dns.rdataclass.IN:
        return dns.rcode.REFUSED
    return dns.rcode.BADVERS if query.edns > 0 else None


def _answer_question(
    query: dns.message.Message, asker: Asker, zone: Zone, *, ttl: int, tcp: bool, shuffle: random.Random
) -> Answer | Forward:
    question = query.question[0]
    if question.name.is_subdomain(_REVERSE) and (address := _reversed(question.name)) is not None:
        return _answer_reverse(query, address, asker, zone, ttl)
    addresses = zone.find(question.name.to_text(omit_final_dot=True).lower(), asker.networks)
    if addresses is None:
        return Forward(query) if asker.may_leave else Answer(refusal(query, dns.rcode.NXDOMAIN))
    wanted = question.rdtype in (dns.rdatatype.A, dns.rdatatype.ANY)
    shuffled = shuffle.sample(addresses, len(addresses)) if wanted else ()
    limit = _LARGEST_TCP_BYTES if tcp else min(max(query.payload, PLAIN_UDP_BYTES), LARGEST_UDP_BYTES)
    return Answer(_with_addresses(_response(query), shuffled, ttl, limit))


def _response(query: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True, our_payload=LARGEST_UDP_BYTES)
    response.flags |= dns.flags.AA
    return response


def refusal(query: dns.message.Message, code: dns.rcode.Rcode) -> bytes:
    """An answer that is only a response code."""
    response = dns.message.make_response(query, recursion_available=True, our_payload=LARGEST_UDP_BYTES)
    response.set_rcode(code)
    return response.to_wire(max_size=LARGEST_UDP_BYTES)


def _with_addresses(response: dns.message.Message, addresses: Sequence[IPv4Address], ttl: int, limit: int) -> bytes:
    """The wire form with as many of the addresses as the limit takes, and the sign that there are more (TC).

    The records are put between question and OPT as bytes, since objects for each cost two thirds of an answer.
    """
    bare = response.to_wire()
    fitting = (limit - len(bare)) // _RECORD_BYTES
    if len(addresses) > fitting:
        response.flags |= dns.flags.TC
        bare, addresses = response.to_wire(), addresses[:fitting]
    start = _RECORD_START + struct.pack(">IH", ttl, 4)
    records = b"".join(start + address.packed for address in addresses)
    end = _HEADER_BYTES + len(response.question[0].name.to_wire() or b"") + 4
    return bare[:6] + struct.pack(">H", len(addresses)) + bare[8:end] + records + bare[end:]


def _reversed(name: dns.name.Name) -> IPv4Address | None:
    try:
        return IPv4Address(dns.reversename.to_address(name))
    except (dns.exception.DNSException, ValueError):
        return None


def _answer_reverse(
    query: dns.message.Message, address: IPv4Address, asker: Asker, zone: Zone, ttl: int
) -> Answer | Forward:
    name = zone.owner(address, asker.networks)
    if name is None:
        ours = zone.covers(address) or not asker.may_leave
        return Answer(refusal(query, dns.rcode.NXDOMAIN)) if ours else Forward(query)
    response = _response(query)
    question = query.question[0]
    if question.rdtype in (dns.rdatatype.PTR, dns.rdatatype.ANY):
        target = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.PTR, f"{name}.")
        response.answer.append(dns.rrset.from_rdata(question.name, ttl, target))
    return Answer(response.to_wire(max_size=LARGEST_UDP_BYTES))
