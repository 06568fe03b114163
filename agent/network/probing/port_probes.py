"""Probes published ports of other nodes."""

import asyncio
import errno
import os
import socket
from ipaddress import ip_address

from agent.network.ip_protocols import protocol_number

CONNECT_SECONDS = 2.0
UDP_REFUSAL_SECONDS = 1.0
"""How long to wait for a datagram's rejection."""
_TYPES = {
    socket.IPPROTO_TCP: socket.SOCK_STREAM,
    socket.IPPROTO_UDP: socket.SOCK_DGRAM,
    socket.IPPROTO_SCTP: socket.SOCK_STREAM,
}
_UNSUPPORTED_PROTOCOL = (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)


async def port_fault(address: str, port: int, protocol: int) -> str | None:
    """Why the port does not answer, one line; empty when it does; None when the probe is inconclusive.

    A connection is opened and closed, or an empty datagram sent. For UDP silence is inconclusive, a rejection (RFC
    1122, 4.1.3.1) is not. SCTP is inconclusive on a node whose kernel lacks it.

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
        return f"'{address[:80]}' is not an IP address"
    except OSError as error:
        code = error.errno or errno.EIO
        return None if code in _UNSUPPORTED_PROTOCOL else os.strerror(code).lower()


async def _tcp_fault(sock: socket.socket, address: str, port: int) -> str:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except TimeoutError:
        return f"no response within {CONNECT_SECONDS:g} s"
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
