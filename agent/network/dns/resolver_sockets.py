"""The resolver's sockets, on ephemeral ports; nftables rules redirect port 53 to them.

So it does not use the host's port 53, which dnsmasq and others bind on every address, and keeps no later program from
it.
"""

import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from shoal.errors import Unavailable

_IP_FREEBIND = 15
"""ip(7): the address need not exist yet."""
_SO_RCVBUFFORCE = 33
_BACKLOG = 256
_RECEIVE_BYTES, _SEND_BYTES = 1 << 14, 1 << 17
"""Of a connection's kernel buffers: a few queries, and an answer of the largest size."""
_UDP_RECEIVE_BYTES = 1 << 21
"""Of the UDP buffer, whatever net.core.rmem_max is: some thousand queries may wait while the agent is busy."""


@dataclass(frozen=True)
class ResolverSockets:
    """Bound sockets; their new owner closes them."""

    udp: socket.socket
    tcp: socket.socket

    @property
    def ports(self) -> Mapping[int, int]:
        """By protocol: 17 and 6."""
        sockets = {socket.IPPROTO_UDP: self.udp, socket.IPPROTO_TCP: self.tcp}
        return {int(protocol): int(each.getsockname()[1]) for protocol, each in sockets.items()}

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()


def open_resolver_sockets(address: IPv4Address, port: int = 0) -> ResolverSockets:
    """Listen on both transports.

    Args:
        port: 0 for a free one.
    Raises:
        Unavailable: the address or port cannot be bound.
    """
    with ExitStack() as opened:
        try:
            found = []
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                each = opened.enter_context(socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK))
                each.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
                each.bind((str(address), port))
                found.append(each)
            with suppress(OSError):  # for root alone
                found[0].setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _UDP_RECEIVE_BYTES)
            found[1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            found[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            found[1].listen(_BACKLOG)
        except OSError as error:
            raise Unavailable(f"the DNS resolver cannot listen on {address}: {error.strerror}") from error
        opened.pop_all()
    return ResolverSockets(*found)
