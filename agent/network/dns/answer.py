"""Decides the answer to one query. Pure. Names outside the cluster are forwarded.

RFC 1035 (messages), RFC 2308 (negative answers), RFC 2782 (SRV), RFC 6891 (EDNS).
"""

from dataclasses import dataclass
from ipaddress import ip_address

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

from agent.network.dns.address_records import AddressAnswer, address_answer
from agent.network.dns.dns_clients import DnsClient
from agent.network.dns.srv_records import parse_srv_name, srv_rrsets, srv_targets
from agent.network.dns.zone import Addresses, Zone
from agent.network.ip_types import Address

MIN_UDP_BYTES = 512
MAX_UDP_BYTES = 1232
"""No UDP answer is larger, whatever the client accepts: it must pass every path unfragmented (DNS flag day 2020)."""
_MAX_TCP_BYTES = 65535
_REVERSE = tuple(map(dns.name.from_text, ("in-addr.arpa.", "ip6.arpa.")))
_VERSIONS = {dns.rdatatype.A: (4,), dns.rdatatype.AAAA: (6,), dns.rdatatype.ANY: (4, 6)}
"""IP versions by the requested record type."""


@dataclass(frozen=True)
class FixedAnswer:
    """A complete answer; None to send nothing."""

    wire: bytes | None


@dataclass(frozen=True)
class Forward:
    """The query is forwarded to an upstream resolver."""


Decision = FixedAnswer | AddressAnswer | Forward


def decide(wire: bytes, client: DnsClient | None, zone: Zone, *, ttl: int, tcp: bool) -> Decision:
    """Decide on one query. Invalid messages and responses get no reply; an unknown client is refused.

    The decision is the same for the same bytes after the query's id, so it can be cached as long as the zone.

    Args:
        ttl: of the cluster's own records, seconds.
    """
    query = parse_query(wire)
    if query is None or query.flags & dns.flags.QR:
        return FixedAnswer(None)
    if (code := _error_code(query, client)) is not None or client is None:
        return FixedAnswer(error_response(query, code or dns.rcode.REFUSED))
    limit = _MAX_TCP_BYTES if tcp else min(max(query.payload, MIN_UDP_BYTES), MAX_UDP_BYTES)
    return _answer_question(query, client, zone, ttl, limit)


def parse_query(wire: bytes) -> dns.message.Message | None:
    """The parsed message; None when it is invalid."""
    try:
        return dns.message.from_wire(wire, ignore_trailing=False)
    except (dns.exception.DNSException, ValueError, IndexError, KeyError):
        return None


def _error_code(query: dns.message.Message, client: DnsClient | None) -> dns.rcode.Rcode | None:
    if query.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if len(query.question) != 1:
        return dns.rcode.FORMERR
    if client is None or query.question[0].rdclass != dns.rdataclass.IN:
        return dns.rcode.REFUSED
    return dns.rcode.BADVERS if query.edns > 0 else None


def _answer_question(query: dns.message.Message, client: DnsClient, zone: Zone, ttl: int, limit: int) -> Decision:
    question = query.question[0]
    if any(map(question.name.is_subdomain, _REVERSE)) and (address := _reverse_address(question.name)) is not None:
        return _answer_reverse(query, address, client, zone, ttl)
    name = question.name.to_text(omit_final_dot=True).lower()
    addresses = _linked(name, client, zone) if client.links else None
    if addresses is None:
        addresses = zone.find(name, client.networks)
    if addresses is not None:
        ttl = zone.ttl_for(addresses, ttl)
        return address_answer(_response(query), _addresses_of_type(addresses, question.rdtype), ttl, limit)
    if (service := parse_srv_name(name)) is not None and zone.find(service.host, client.networks) is not None:
        targets = srv_targets(service, zone, client.networks)
        if targets is None:
            return FixedAnswer(error_response(query, dns.rcode.NXDOMAIN))
        response = _response(query)
        if question.rdtype in (dns.rdatatype.SRV, dns.rdatatype.ANY):
            ttl = zone.ttl_for((address for target in targets for address in target.addresses), ttl)
            response.answer, response.additional = srv_rrsets(question.name, targets, ttl)
        return FixedAnswer(response.to_wire(max_size=limit, prefer_truncation=True))
    return Forward() if client.has_egress else FixedAnswer(error_response(query, dns.rcode.NXDOMAIN))


def _linked(name: str, client: DnsClient, zone: Zone) -> Addresses | None:
    """Addresses of a name that this client alone knows; None when it is no such name. None run: no addresses."""
    link = next((each for each in client.links if each.name == name), None)
    if link is None:
        return None
    return zone.find(link.target, client.networks) or tuple(link.local)


def _addresses_of_type(addresses: Addresses, record_type: dns.rdatatype.RdataType) -> Addresses:
    versions = _VERSIONS.get(record_type, ())
    return [address for address in addresses if address.version in versions]


def _response(query: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True, our_payload=MAX_UDP_BYTES)
    response.flags |= dns.flags.AA
    return response


def error_response(query: dns.message.Message, code: dns.rcode.Rcode) -> bytes:
    """An answer with a response code only."""
    response = dns.message.make_response(query, recursion_available=True, our_payload=MAX_UDP_BYTES)
    response.set_rcode(code)
    return response.to_wire(max_size=MAX_UDP_BYTES)


def _reverse_address(name: dns.name.Name) -> Address | None:
    try:
        return ip_address(dns.reversename.to_address(name))
    except (dns.exception.DNSException, ValueError):
        return None


def _answer_reverse(
    query: dns.message.Message, address: Address, client: DnsClient, zone: Zone, ttl: int
) -> FixedAnswer | Forward:
    name = zone.owner_name(address, client.networks)
    if name is None:
        ours = zone.covers(address) or not client.has_egress
        return FixedAnswer(error_response(query, dns.rcode.NXDOMAIN)) if ours else Forward()
    response = _response(query)
    question = query.question[0]
    if question.rdtype in (dns.rdatatype.PTR, dns.rdatatype.ANY):
        target = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.PTR, f"{name}.")
        response.answer.append(dns.rrset.from_rdata(question.name, ttl, target))
    return FixedAnswer(response.to_wire(max_size=MAX_UDP_BYTES))
