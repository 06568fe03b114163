"""Entries of connection tracking (linux/netfilter/nfnetlink_conntrack.h): datagram flows, which outlive their backend.

A flow of datagrams has no end that the kernel sees: as long as the client sends, it goes where its first datagram went.
"""

import struct
from collections.abc import Iterable, Iterator

from agent.network.netlink.connection import Connection
from agent.network.netlink.inventory import attributes
from agent.network.netlink.messages import GONE, Address, Message, attribute, family_of, nest, number

FAMILY = 12
"""NETLINK_NETFILTER."""
_GET, _DELETE = 0x0101, 0x0102
_ORIGINAL, _REPLY, _FILTER = 1, 2, 25
_BY_SOURCE_AND_PROTOCOL = 1 << 0 | 1 << 3
_UDP = 17
_IPV4_SOURCE, _IPV6_SOURCE = 1, 3


def forget_datagrams(connection: Connection, backends: Iterable[Address]) -> None:
    """Delete the flows of UDP that these addresses answer, so that their next datagram is led anew.

    Args:
        connection: of `FAMILY`.
    Raises:
        Unavailable: the kernel refused.
    """
    for backend in backends:
        connection.apply(list(_deletions(connection, backend)))


def _deletions(connection: Connection, backend: Address) -> Iterator[Message]:
    header = struct.pack("=BBH", family_of(backend), 0, 0)
    for reply in connection.dump(_GET, header + _answered_by(backend)):
        original = attributes(reply.body, 4).get(_ORIGINAL)
        if original is not None:
            yield Message(_DELETE, 0, header + nest(_ORIGINAL, original), f"forget a flow to {backend}", GONE)


def _answered_by(backend: Address) -> bytes:
    """The kernel looks through its table itself (CTA_FILTER, Linux 5.8)."""
    source = nest(1, attribute(_IPV4_SOURCE if backend.version == 4 else _IPV6_SOURCE, backend.packed))
    protocol = nest(2, attribute(1, bytes([_UDP])))
    return nest(_REPLY, source, protocol) + nest(_FILTER, number(1, 0), number(2, _BY_SOURCE_AND_PROTOCOL))
