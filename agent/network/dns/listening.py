"""Where the resolver listens: at ports that the kernel gives it. Our rules lead the containers' port 53 there.

So it needs nothing of the host's port 53, which dnsmasq and others like to have at every address, and takes it from
nobody who comes later.
"""

import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from shoal.errors import Unavailable

_IP_FREEBIND = 15
"""ip(7): the address need not be there yet."""
_SO_RCVBUFFORCE = 33
_BACKLOG = 256
_RECEIVE_BYTES, _SEND_BYTES = 1 << 14, 1 << 17
"""Of the kernel's buffers of a connection: a few queries, and an answer of the largest size."""
_QUESTIONS_BYTES = 1 << 21
"""Of the buffer of datagrams, whatever net.core.rmem_max says: some thousand questions may wait while we are busy."""


@dataclass(frozen=True)
class Listening:
    """Bound sockets, which whoever takes them closes."""

    datagrams: socket.socket
    connections: socket.socket

    @property
    def ports(self) -> Mapping[int, int]:
        """By protocol: 17 and 6."""
        sockets = {socket.IPPROTO_UDP: self.datagrams, socket.IPPROTO_TCP: self.connections}
        return {int(protocol): int(each.getsockname()[1]) for protocol, each in sockets.items()}

    def close(self) -> None:
        self.datagrams.close()
        self.connections.close()


def listening(address: IPv4Address, port: int = 0) -> Listening:
    """Listen on both transports.

    Args:
        port: 0 for one that is free.
    Raises:
        Unavailable: the address or the port cannot be had.
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
                found[0].setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUESTIONS_BYTES)
            found[1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            found[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            found[1].listen(_BACKLOG)
        except OSError as error:
            raise Unavailable(f"The resolver cannot listen on {address}: {error.strerror}") from error
        opened.pop_all()
    return Listening(*found)
