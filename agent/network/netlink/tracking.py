"""Entries of connection tracking (linux/netfilter/nfnetlink_conntrack.h): datagram flows, which outlive their backend.

A flow of datagrams has no end that the kernel sees: as long as the client sends, it goes where its first datagram went.
"""

import struct
from collections.abc import Collection, Iterator, Sequence

from agent.network.netlink.connection import Connection
from agent.network.netlink.inventory import attributes
from agent.network.netlink.messages import GONE, Address, Message, attribute, family_of, nest, number

FAMILY = 12
"""NETLINK_NETFILTER."""
_GET, _DELETE = 0x0101, 0x0102
_ORIGINAL, _REPLY, _FILTER = 1, 2, 25
_ADDRESSES = 1
_BY_SOURCE, _BY_PROTOCOL = 1 << 0, 1 << 3
_UDP = 17
_IPV4_SOURCE, _IPV6_SOURCE = 1, 3


def forget_datagrams(connection: Connection, backends: Collection[Address]) -> None:
    """Delete the flows of UDP that these addresses answer, so that their next datagram is led anew.

    Args:
        connection: of `FAMILY`.
    Raises:
        Unavailable: the kernel refused.
    """
    for version in (4, 6):
        if family := [backend for backend in backends if backend.version == version]:
            connection.apply(list(_deletions(connection, family)))


def _deletions(connection: Connection, backends: Sequence[Address]) -> Iterator[Message]:
    """Of one family; by one look through the table, however many they are."""
    header = struct.pack("=BBH", family_of(backends[0]), 0, 0)
    place = _IPV4_SOURCE if backends[0].version == 4 else _IPV6_SOURCE
    packed = {backend.packed: backend for backend in backends}
    for reply in connection.dump(_GET, header + _answered_by(place, backends)):
        found = attributes(reply.body, 4)
        source = attributes(attributes(found.get(_REPLY, b""), 0).get(_ADDRESSES, b""), 0).get(place, b"")
        if _ORIGINAL in found and source in packed:
            what = f"forget a flow to {packed[source]}"
            yield Message(_DELETE, 0, header + nest(_ORIGINAL, found[_ORIGINAL]), what, GONE)


def _answered_by(place: int, backends: Sequence[Address]) -> bytes:
    """The kernel chooses itself (CTA_FILTER, Linux 5.8): by the protocol, and by the address when there is but one."""
    protocol = nest(2, attribute(1, bytes([_UDP])))
    if len(backends) > 1:
        return nest(_REPLY, protocol) + nest(_FILTER, number(1, 0), number(2, _BY_PROTOCOL))
    source = nest(_ADDRESSES, attribute(place, backends[0].packed))
    return nest(_REPLY, source, protocol) + nest(_FILTER, number(1, 0), number(2, _BY_SOURCE | _BY_PROTOCOL))
