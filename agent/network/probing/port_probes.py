"""Probes published ports of other nodes."""

import asyncio
import errno
import os
import socket
from ipaddress import ip_address

from agent.network.ip_protocols import protocol_number

CONNECT_SECONDS = 2.0
UDP_REFUSAL_SECONDS = 1.0
"""How long a datagram's refusal is waited for."""
_TYPES = {
    socket.IPPROTO_TCP: socket.SOCK_STREAM,
    socket.IPPROTO_UDP: socket.SOCK_DGRAM,
    socket.IPPROTO_SCTP: socket.SOCK_STREAM,
}
_UNSUPPORTED_PROTOCOL = (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)


async def port_fault(address: str, port: int, protocol: int) -> str | None:
    """Why the port does not answer, one line; empty when it does; None when nothing can be said of it.

    A connection is made and closed, or an empty datagram sent: of UDP silence tells nothing, a refusal (RFC 1122,
    4.1.3.1) does. Nor can anything be said of SCTP by a node whose kernel has none.

    Args:
        protocol: of shoal.api.v1.PublishedPort.
    """
    number = protocol_number(protocol)
    try:
        ip = ip_address(address)
        family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
        with socket.socket(family, _TYPES[number] | socket.SOCK_NONBLOCK, number) as sock:
            if number == socket.IPPROTO_UDP:
                return await _udp_fault(sock, address, port)
            return await _tcp_fault(sock, address, port)
    except ValueError:
        return f"'{address[:80]}' is no address"
    except OSError as error:
        code = error.errno or errno.EIO
        return None if code in _UNSUPPORTED_PROTOCOL else os.strerror(code).lower()


async def _tcp_fault(sock: socket.socket, address: str, port: int) -> str:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except TimeoutError:
        return f"no answer in {CONNECT_SECONDS:g} s"
    return ""


async def _udp_fault(sock: socket.socket, address: str, port: int) -> str | None:
    sock.connect((address, port))
    sock.send(b"")
    try:
        async with asyncio.timeout(UDP_REFUSAL_SECONDS):
            await asyncio.get_running_loop().sock_recv(sock, 1)
    except TimeoutError:
        return None
    return ""
