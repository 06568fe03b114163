"""From a query to its answer: a function over values. What is not the cluster's is left to the upstream resolvers.

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

from agent.network.dns.address_records import PreparedAddresses, prepare_addresses
from agent.network.dns.askers import Asker
from agent.network.dns.service_records import find_service, service_name, service_rrsets
from agent.network.dns.zone import Addresses, Zone
from agent.network.netlink.messages import Address

PLAIN_UDP_BYTES = 512
LARGEST_UDP_BYTES = 1232
"""No answer over UDP is larger, whatever the asker takes: it must pass every path unfragmented (DNS flag day 2020)."""
_LARGEST_TCP_BYTES = 65535
_REVERSE = tuple(map(dns.name.from_text, ("in-addr.arpa.", "ip6.arpa.")))
_VERSIONS = {dns.rdatatype.A: (4,), dns.rdatatype.AAAA: (6,), dns.rdatatype.ANY: (4, 6)}
"""Of IP, by the type of record that is asked for."""


@dataclass(frozen=True)
class Fixed:
    """What to send back, whoever asks this next; None to send nothing."""

    wire: bytes | None


@dataclass(frozen=True)
class Forward:
    """The query is for an upstream resolver."""


Decision = Fixed | PreparedAddresses | Forward


def decide(wire: bytes, asker: Asker | None, zone: Zone, *, ttl: int, tcp: bool) -> Decision:
    """Decide on one query. Garbage and answers get no reply; an unknown asker is refused.

    The decision is the same for the same bytes after the query's number, so it can be kept as long as the zone.

    Args:
        ttl: of the cluster's own records, seconds.
    """
    query = parsed(wire)
    if query is None or query.flags & dns.flags.QR:
        return Fixed(None)
    if (code := _fault(query, asker)) is not None or asker is None:
        return Fixed(refusal(query, code or dns.rcode.REFUSED))
    limit = _LARGEST_TCP_BYTES if tcp else min(max(query.payload, PLAIN_UDP_BYTES), LARGEST_UDP_BYTES)
    return _answer_question(query, asker, zone, ttl, limit)


def parsed(wire: bytes) -> dns.message.Message | None:
    """The message, None when it is none."""
    try:
        return dns.message.from_wire(wire, ignore_trailing=False)
    except (dns.exception.DNSException, ValueError, IndexError, KeyError):
        return None


def _fault(query: dns.message.Message, asker: Asker | None) -> dns.rcode.Rcode | None:
    if query.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if len(query.question) != 1:
        return dns.rcode.FORMERR
    if asker is None or query.question[0].rdclass != dns.rdataclass.IN:
        return dns.rcode.REFUSED
    return dns.rcode.BADVERS if query.edns > 0 else None


def _answer_question(query: dns.message.Message, asker: Asker, zone: Zone, ttl: int, limit: int) -> Decision:
    question = query.question[0]
    if any(map(question.name.is_subdomain, _REVERSE)) and (address := _reversed(question.name)) is not None:
        return _answer_reverse(query, address, asker, zone, ttl)
    name = question.name.to_text(omit_final_dot=True).lower()
    addresses = zone.find(name, asker.networks)
    if addresses is not None:
        ttl = zone.lasts(addresses, ttl)
        return prepare_addresses(_response(query), _of_type(addresses, question.rdtype), ttl, limit)
    if (service := service_name(name)) is not None and zone.find(service.host, asker.networks) is not None:
        targets = find_service(service, zone, asker.networks)
        if targets is None:
            return Fixed(refusal(query, dns.rcode.NXDOMAIN))
        response = _response(query)
        if question.rdtype in (dns.rdatatype.SRV, dns.rdatatype.ANY):
            ttl = zone.lasts((address for target in targets for address in target.addresses), ttl)
            response.answer, response.additional = service_rrsets(question.name, targets, ttl)
        return Fixed(response.to_wire(max_size=limit, prefer_truncation=True))
    return Forward() if asker.may_leave else Fixed(refusal(query, dns.rcode.NXDOMAIN))


def _of_type(addresses: Addresses, asked: dns.rdatatype.RdataType) -> Addresses:
    versions = _VERSIONS.get(asked, ())
    return [address for address in addresses if address.version in versions]


def _response(query: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True, our_payload=LARGEST_UDP_BYTES)
    response.flags |= dns.flags.AA
    return response


def refusal(query: dns.message.Message, code: dns.rcode.Rcode) -> bytes:
    """An answer that is only a response code."""
    response = dns.message.make_response(query, recursion_available=True, our_payload=LARGEST_UDP_BYTES)
    response.set_rcode(code)
    return response.to_wire(max_size=LARGEST_UDP_BYTES)


def _reversed(name: dns.name.Name) -> Address | None:
    try:
        return ip_address(dns.reversename.to_address(name))
    except (dns.exception.DNSException, ValueError):
        return None


def _answer_reverse(
    query: dns.message.Message, address: Address, asker: Asker, zone: Zone, ttl: int
) -> Fixed | Forward:
    name = zone.owner(address, asker.networks)
    if name is None:
        ours = zone.covers(address) or not asker.may_leave
        return Fixed(refusal(query, dns.rcode.NXDOMAIN)) if ours else Forward()
    response = _response(query)
    question = query.question[0]
    if question.rdtype in (dns.rdatatype.PTR, dns.rdatatype.ANY):
        target = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.PTR, f"{name}.")
        response.answer.append(dns.rrset.from_rdata(question.name, ttl, target))
    return Fixed(response.to_wire(max_size=LARGEST_UDP_BYTES))
