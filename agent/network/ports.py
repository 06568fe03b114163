"""Ports of the node that tasks publish, held by bound sockets: nobody else gets them, and nobody's is taken."""

import errno
import os
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from agent.network.attachment import Port
from agent.network.local_relay import LocalRelay
from agent.network.netlink.messages import Address, family_of
from agent.network.protocols import PROTOCOL_NAMES
from shoal.errors import Refused, Unavailable

_RESOLVER_PORT = 53
"""Our own resolver listens there, at the gateway address; so of all others only the node's is held."""


_EVERYWHERE = (IPv4Address("0.0.0.0"), IPv6Address("::"))  # noqa: S104  (held, not listened on)


_LOCAL6 = IPv6Address("::1")
Held = socket.socket | LocalRelay


class Taken(Refused):
    """Another socket of this host has the port."""


class PortHolder:
    """Sockets by task. They are bound and never listen: the kernel sends connections to the container before that.

    But for those of ::1, which are relayed.
    """

    def __init__(self, node_address: Address) -> None:
        self._node_address = node_address
        self._held: dict[str, list[Held]] = {}

    def inodes(self) -> frozenset[int]:
        """Of the sockets by which ports are held."""
        return frozenset(os.fstat(bound.fileno()).st_ino for held in self._held.values() for bound in held)

    def hold(self, task_id: str, ports: Sequence[Port]) -> None:
        """Take all of them, or none. A task that holds ports already keeps those.

        Raises:
            Taken: one is in use. Refused: the host has no such address.
        """
        if task_id in self._held:
            return
        held: list[Held] = []
        try:
            wanted = ((port, host) for port in ports for host in self._hosts(port))
            held.extend(kept for port, host in wanted if (kept := _held(port, host)) is not None)
        except BaseException:
            _close(held)
            raise
        self._held[task_id] = held

    def _hosts(self, port: Port) -> Sequence[Address]:
        if port.published == _RESOLVER_PORT and port.is_at_all(4):
            return (self._node_address,)
        return _EVERYWHERE if port.host is None else (port.host,)

    def release(self, task_id: str) -> None:
        _close(self._held.pop(task_id, []))

    def close(self) -> None:
        for task_id in list(self._held):
            self.release(task_id)


def _close(sockets: Sequence[Held]) -> None:
    for bound in sockets:
        bound.close()


def _held(port: Port, host: Address) -> Held | None:
    """None where no other program can hold the port either."""
    bound = _bind(port, host)
    return LocalRelay(bound) if bound is not None and host == _LOCAL6 and port.protocol == socket.IPPROTO_TCP else bound


def _bind(port: Port, host: Address) -> socket.socket | None:
    """None where the host itself has no such protocol or family, so that no other program can hold the port either."""
    try:
        return _bind_once(port, host, reuse=False)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT):
            return None
        if error.errno != errno.EADDRINUSE or port.protocol == 17:
            raise _refusal(port, error) from error
    try:
        # Connections that are closing do not hold a port against us; a listener does.
        return _bind_once(port, host, reuse=True)
    except OSError as error:
        raise _refusal(port, error) from error


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


def _refusal(port: Port, error: OSError) -> Refused | Unavailable:
    name = f"{PROTOCOL_NAMES[port.protocol]} port {port.published}"
    if error.errno == errno.EADDRINUSE:
        where = f" at {port.host}" if port.host else ""
        return Taken(f"{name}{where} is already in use on this host: publish another, or stop what listens there")
    if error.errno == errno.EADDRNOTAVAIL:
        return Refused(f"{name} cannot be published at {port.host}: this host has no such address")
    return Unavailable(f"{name} cannot be published: {os.strerror(error.errno or 0)}")
