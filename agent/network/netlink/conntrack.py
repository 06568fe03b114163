"""Entries of connection tracking (linux/netfilter/nfnetlink_conntrack.h): what clients of withdrawn backends keep
sending there.

A flow of datagrams has no end that the kernel sees: as long as the client sends, it goes where its first datagram went.
So does a connection that nobody has answered yet, as often as its client asks again.
"""

import struct
from collections.abc import Collection, Iterator, Sequence

from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import NOT_FOUND, Address, Message, attribute, family_of, nest, u32
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
    """Delete the flows of UDP that these addresses answer, so that their next datagram is led anew.

    Args:
        connection: of `NETFILTER`.
    Raises:
        Unavailable: the kernel refused.
    """
    _delete_flows(connection, backends, _UDP)


def delete_unreplied_connections(connection: Connection, backends: Collection[Address]) -> None:
    """Delete the connections of TCP to these addresses that nobody has answered, so that their clients are led anew
    when they ask again.

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
    """Of one family; by one look through the table, however many they are."""
    header = struct.pack("=BBH", family_of(backends[0]), 0, 0)
    place = _IPV4_SOURCE if backends[0].version == 4 else _IPV6_SOURCE
    packed = {backend.packed: backend for backend in backends}
    for reply in connection.dump(_GET, header + _reply_filter(place, backends, protocol)):
        found = parse_attributes(reply.body, 4)
        source = parse_attributes(parse_attributes(found.get(_REPLY, b""), 0).get(_ADDRESSES, b""), 0).get(place, b"")
        answered = int.from_bytes(found.get(_STATUS, b"")[:4], "big") & _SEEN_REPLY
        if _ORIGINAL in found and source in packed and not (protocol == _TCP and answered):
            what = f"forget a flow to {packed[source]}"
            yield Message(_DELETE, 0, header + nest(_ORIGINAL, found[_ORIGINAL]), what, NOT_FOUND)


def _reply_filter(place: int, backends: Sequence[Address], number_of_protocol: int) -> bytes:
    """The kernel chooses itself (CTA_FILTER, Linux 5.8): by the protocol, and by the address when there is but one; of
    TCP by what has no answer (CTA_STATUS_MASK, Linux 5.16; older ones tell all)."""
    protocol = nest(2, attribute(1, bytes([number_of_protocol])))
    status = _status_filter(0) if number_of_protocol == _TCP else b""
    if len(backends) > 1:
        return nest(_REPLY, protocol) + nest(_FILTER, u32(1, 0), u32(2, _BY_PROTOCOL)) + status
    source = nest(_ADDRESSES, attribute(place, backends[0].packed))
    return nest(_REPLY, source, protocol) + nest(_FILTER, u32(1, 0), u32(2, _BY_SOURCE | _BY_PROTOCOL)) + status


def _status_filter(bits: int) -> bytes:
    """Whether a reply was seen, as the kernel's filter has it: in the network's order of bytes."""
    return attribute(_STATUS, struct.pack(">I", bits)) + attribute(_STATUS_MASK, struct.pack(">I", _SEEN_REPLY))
