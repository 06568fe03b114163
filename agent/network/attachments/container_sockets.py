"""Listening sockets and client connections of a container."""

from ipaddress import IPv4Address, IPv6Address

from agent.network.attachments.namespaces import connect_inside
from agent.network.netlink import sock_diag
from agent.worker.interfaces import Sockets
from shoal.errors import Unavailable


def inspect(pid: int) -> Sockets:
    """The sockets of a process's network namespace; nothing when it has ended. Takes about half a millisecond.

    Raises:
        Unavailable: the kernel refused.
    """
    try:
        connection = connect_inside(pid, sock_diag.SOCK_DIAG)
    except (FileNotFoundError, PermissionError, ProcessLookupError):  # which one depends on how far its end has come
        return Sockets()
    except OSError as error:
        raise Unavailable(f"the sockets of process {pid} cannot be read: {error.strerror}") from error
    try:
        return classify(sock_diag.listening_sockets(connection), sock_diag.connected_sockets(connection))
    finally:
        connection.close()


def classify(listening: list[sock_diag.Socket], connected: list[sock_diag.Socket]) -> Sockets:
    """Listening ports and clients, from lists of sockets. Pure."""
    local = {(each.protocol, each.port) for each in listening if _is_loopback(each.address)}
    reached = {(each.protocol, each.port) for each in listening if not _is_loopback(each.address)}
    ports = {port for _, port in local | reached}
    clients = sum(each.port in ports and not _is_loopback(each.remote) for each in connected)
    return Sockets(frozenset(reached), frozenset(local - reached), clients)


def _is_loopback(address: IPv4Address | IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
