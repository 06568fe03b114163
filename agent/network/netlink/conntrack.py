"""Deletes conntrack entries (linux/netfilter/nfnetlink_conntrack.h) of withdrawn backends.

The kernel cannot see the end of a UDP flow: as long as the client sends, its datagrams go where the first one went. So
does a TCP connection that has not been answered yet, each time its client retries.
"""

import struct
from collections.abc import Collection, Iterator, Sequence

from agent.network.ip_types import Address, family_of
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import NOT_FOUND, Message, attribute, nest, u32
from agent.network.netlink.rtnetlink_dump import parse_attributes

NETFILTER = 12
"""NETLINK_NETFILTER."""
_GET, _DELETE = 0x0101, 0x0102
_ORIGINAL, _REPLY, _STATUS, _FILTER, _STATUS_MASK = 1, 2, 3, 25, 26
_ADDRESSES = 1
_BY_SOURCE, _BY_PROTOCOL = 1 << 0, 1 << 3
_TCP, _UDP = 6, 17
_SEEN_REPLY = 1 << 1
"""IPS_SEEN_REPLY (linux/netfilter/nf_conntrack_common.h)."""
_IPV4_SOURCE, _IPV6_SOURCE = 1, 3


def delete_udp_flows(connection: Connection, backends: Collection[Address]) -> None:
    """Delete the UDP flows of these addresses, so that their next datagram is forwarded to another backend.

    Args:
        connection: of `NETFILTER`.
    Raises:
        Unavailable: the kernel refused.
    """
    _delete_flows(connection, backends, _UDP)


def delete_unreplied_connections(connection: Connection, backends: Collection[Address]) -> None:
    """Delete the unanswered TCP connections to these addresses, so that their clients are forwarded to another backend
    when they retry.

    Args:
        connection: of `NETFILTER`.
    Raises:
        Unavailable: the kernel refused.
    """
    _delete_flows(connection, backends, _TCP)


def _delete_flows(connection: Connection, backends: Collection[Address], protocol: int) -> None:
    for version in (4, 6):
        if family := [backend for backend in backends if backend.version == version]:
            connection.apply(list(_deletions(connection, family, protocol)))


def _deletions(connection: Connection, backends: Sequence[Address], protocol: int) -> Iterator[Message]:
    """The requests for one family, by one dump of the table, however many backends there are."""
    header = struct.pack("=BBH", family_of(backends[0]), 0, 0)
    place = _IPV4_SOURCE if backends[0].version == 4 else _IPV6_SOURCE
    packed = {backend.packed: backend for backend in backends}
    for reply in connection.dump(_GET, header + _reply_filter(place, backends, protocol)):
        found = parse_attributes(reply.body, 4)
        source = parse_attributes(parse_attributes(found.get(_REPLY, b""), 0).get(_ADDRESSES, b""), 0).get(place, b"")
        answered = int.from_bytes(found.get(_STATUS, b"")[:4], "big") & _SEEN_REPLY
        if _ORIGINAL in found and source in packed and not (protocol == _TCP and answered):
            description = f"delete a conntrack entry of {packed[source]}"
            yield Message(_DELETE, 0, header + nest(_ORIGINAL, found[_ORIGINAL]), description, NOT_FOUND)


def _reply_filter(place: int, backends: Sequence[Address], number_of_protocol: int) -> bytes:
    """A filter that the kernel applies (CTA_FILTER, Linux 5.8): by protocol, by address when there is only one, and for
    TCP by a missing reply (CTA_STATUS_MASK, Linux 5.16; older kernels return all)."""
    protocol = nest(2, attribute(1, bytes([number_of_protocol])))
    status = _status_filter(0) if number_of_protocol == _TCP else b""
    if len(backends) > 1:
        return nest(_REPLY, protocol) + nest(_FILTER, u32(1, 0), u32(2, _BY_PROTOCOL)) + status
    source = nest(_ADDRESSES, attribute(place, backends[0].packed))
    return nest(_REPLY, source, protocol) + nest(_FILTER, u32(1, 0), u32(2, _BY_SOURCE | _BY_PROTOCOL)) + status


def _status_filter(bits: int) -> bytes:
    """Whether a reply was seen, in the filter's form: in network byte order."""
    return attribute(_STATUS, struct.pack(">I", bits)) + attribute(_STATUS_MASK, struct.pack(">I", _SEEN_REPLY))
