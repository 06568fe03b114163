"""What the kernel knows of a connection's other end: what it has yet to read, whether it is gone."""

import asyncio
import fcntl
import select
import socket
import struct
import termios

SHUT_DOWN = "peer has shut down"
"""`get_extra_info` of a transport of TLS: whether the client has shut its socket down, after the end of its input."""

SILENT_SECONDS = 30.0
"""A host that acknowledges nothing of what was sent to it for so long is gone."""

_HEAD_CHECKS = 100
"""How often it is checked whether the client has read the head of the answer, before output follows in any case."""
_HEAD_PAUSE_SECONDS = 0.001
_TCP_INFO = struct.Struct("8B24I")
"""struct tcp_info (linux/tcp.h): eight octets, then 32-bit numbers."""
_RETRANSMITS, _LAST_ACK_RECEIVED = 2, 8 + 12
_MANY_RETRANSMITS = 5


async def head_read(transport: asyncio.BaseTransport) -> None:
    """Wait a moment for the client to read what was sent to it, where the kernel tells that: on Unix sockets.

    Some clients (docker-py, and what is built on it) read the head with a buffer, then the output from the socket below
    it: output that comes with the head is lost to them.
    """
    for _ in range(_HEAD_CHECKS):
        peer = _open_socket(transport)
        if peer is None or peer.family != socket.AF_UNIX or not unread_bytes(transport):
            return
        await asyncio.sleep(_HEAD_PAUSE_SECONDS)


def unread_bytes(transport: asyncio.BaseTransport) -> int:
    """What the peer has yet to read, over TCP what its host has yet to acknowledge; 0 where that is not known."""
    peer = _open_socket(transport)
    if peer is None:
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(peer.fileno(), termios.TIOCOUTQ, bytes(4)), "little")
    except OSError:
        return 0


def is_hung_up(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer has closed its socket, or reset the connection."""
    peer = _open_socket(transport)
    if peer is None:
        return True
    poller = select.poll()
    poller.register(peer.fileno(), 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in poller.poll(0))


def is_silent(transport: asyncio.BaseTransport) -> bool:
    """Whether a TCP peer's host has acknowledged nothing for `SILENT_SECONDS`, though it was sent something.

    One that only reads slowly acknowledges the kernel's probes.
    """
    peer = _open_socket(transport)
    if peer is None or peer.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        fields = _TCP_INFO.unpack(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    except (OSError, struct.error):
        return False
    retransmits, silent_ms = int(fields[_RETRANSMITS]), int(fields[_LAST_ACK_RECEIVED])
    return retransmits >= _MANY_RETRANSMITS and silent_ms > SILENT_SECONDS * 1000


def _open_socket(transport: asyncio.BaseTransport) -> socket.socket | None:
    found: socket.socket | None = transport.get_extra_info("socket")
    return found if found is not None and found.fileno() >= 0 else None
