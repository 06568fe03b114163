"""Reserves published host ports by bound sockets, so that conflicts with other programs show on both sides."""

import errno
import os
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from agent.network.attachments.attachment import Port
from agent.network.ip_protocols import PROTOCOL_NAMES
from agent.network.ip_types import Address, family_of
from agent.network.ports.loopback_relay import LoopbackRelay
from shoal.errors import Refused, Unavailable

_RESOLVER_PORT = 53
"""Our resolver answers there at the gateway address; so of all other addresses only the node's is reserved."""
_UNSPECIFIED = (IPv4Address("0.0.0.0"), IPv6Address("::"))  # noqa: S104  (reserved, not listened on)
_LOOPBACK6 = IPv6Address("::1")
HeldSocket = socket.socket | LoopbackRelay


class PortInUse(Refused):
    """Another socket of this host uses the port."""


class PortReservations:
    """Sockets by task. They are bound and never listen: the kernel forwards connections to the container before that.

    Except for those of ::1, which are relayed.
    """

    def __init__(self, node_address: Address) -> None:
        self._node_address = node_address
        self._reserved: dict[str, list[HeldSocket]] = {}

    def inodes(self) -> frozenset[int]:
        """Inodes of the sockets that reserve ports."""
        return frozenset(os.fstat(bound.fileno()).st_ino for held in self._reserved.values() for bound in held)

    def reserve(self, owner: str, ports: Sequence[Port]) -> None:
        """Reserve all of them, or none. A task that has reserved ports already keeps those.

        Raises:
            PortInUse: one is in use.
            Refused: the host does not have the address.
        """
        if owner in self._reserved:
            return
        sockets: list[HeldSocket] = []
        try:
            requested = ((port, host) for port in ports for host in self._hosts(port))
            sockets.extend(bound for port, host in requested if (bound := _reserve(port, host)) is not None)
        except BaseException:
            _close(sockets)
            raise
        self._reserved[owner] = sockets

    def _hosts(self, port: Port) -> Sequence[Address]:
        if port.published == _RESOLVER_PORT and port.on_all_addresses(4):
            return (self._node_address,)
        return _UNSPECIFIED if port.host is None else (port.host,)

    def release(self, owner: str) -> None:
        _close(self._reserved.pop(owner, []))

    def close(self) -> None:
        for task_id in list(self._reserved):
            self.release(task_id)


def _close(sockets: Sequence[HeldSocket]) -> None:
    for bound in sockets:
        bound.close()


def _reserve(port: Port, host: Address) -> HeldSocket | None:
    """None where no other program can use the port either."""
    bound = _bind(port, host)
    return (
        LoopbackRelay(bound)
        if bound is not None and host == _LOOPBACK6 and port.protocol == socket.IPPROTO_TCP
        else bound
    )


def _bind(port: Port, host: Address) -> socket.socket | None:
    """None where the host lacks the protocol or family, so that no other program can use the port either."""
    try:
        return _bind_once(port, host, reuse=False)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT):
            return None
        if error.errno != errno.EADDRINUSE or port.protocol == 17:
            raise _bind_error(port, error) from error
    try:
        # Closing connections do not keep us from the port; a listener does.
        return _bind_once(port, host, reuse=True)
    except OSError as error:
        raise _bind_error(port, error) from error


def _bind_once(port: Port, host: Address, *, reuse: bool) -> socket.socket:
    kind = socket.SOCK_DGRAM if port.protocol == 17 else socket.SOCK_STREAM
    bound = socket.socket(family_of(host), kind | socket.SOCK_CLOEXEC, port.protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        if host.version == 6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((str(host), port.published))
    except OSError:
        bound.close()
        raise
    return bound


def _bind_error(port: Port, error: OSError) -> Refused | Unavailable:
    name = f"{PROTOCOL_NAMES[port.protocol]} port {port.published}"
    if error.errno == errno.EADDRINUSE:
        where = f" at {port.host}" if port.host else ""
        return PortInUse(
            f"{name}{where} is already in use on this host: "
            "publish another port, or stop the program that listens on it"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return Refused(f"{name} cannot be published on {port.host}: this host does not have that address")
    return Unavailable(f"{name} cannot be published: {os.strerror(error.errno or 0)}")
