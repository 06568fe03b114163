"""Semantics of published ports, shared by managers, agents and the command line."""

from collections.abc import Iterable

from shoal.api.v1.node_pb2 import HostListener
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec

MESH_NETWORK = "ingress"
"""ID and name of the routing mesh's network, which every node and each task that the mesh forwards to is on."""

WILDCARD_ADDRESSES = frozenset({"", "0.0.0.0"})  # noqa: S104  (read, not bound)
"""Host addresses that mean every address of the node: of both families, or every IPv4 one."""
WILDCARD_ADDRESS6 = "::"
"""Every IPv6 address of the node."""


DYNAMIC_PORTS = range(30_000, 32_768)
"""Numbers that the planner chooses from where nobody asks for others."""

_NAME_SERVICE = 53


def is_mesh(port: PublishedPort) -> bool:
    """Whether every node answers, in place of those alone that run a task."""
    return port.mode != PublishedPort.HOST


def candidate_ports(port: PublishedPort) -> range:
    """The numbers of which a port without a number gets one."""
    return range(port.published_first, port.published_last + 1) if port.published_first else DYNAMIC_PORTS


def mesh_ports(spec: ServiceSpec) -> list[PublishedPort]:
    """The ports of a service on which every node answers."""
    return [port for port in spec.endpoint.ports if is_mesh(port)]


def protocol_of(port: PublishedPort) -> int:
    """A value of PublishedPort.Protocol that is not "unspecified"."""
    return port.protocol or PublishedPort.TCP


def protocol_name(protocol: int) -> str:
    """ "tcp", "udp" or "sctp", from a value of PublishedPort.Protocol; unspecified is "tcp"."""
    return PublishedPort.Protocol.Name(PublishedPort.Protocol.ValueType(protocol or PublishedPort.TCP)).lower()


def label(port: PublishedPort) -> str:
    """ "8080/tcp", "127.0.0.1:53/udp" """
    protocol = protocol_name(port.protocol)
    host = "" if port.host_address in WILDCARD_ADDRESSES else f"{bracketed(port.host_address)}:"
    return f"{host}{port.published}/{protocol}"


def bracketed(host: str) -> str:
    """As it stands before a port: "127.0.0.1", "[::1]"."""
    return f"[{host}]" if ":" in host else host


def covers(wide: str, host: str) -> bool:
    """Whether what is published at the first host address is so at the second one, too."""
    if wide == WILDCARD_ADDRESS6:
        return ":" in host
    return not wide or wide == host or (wide in WILDCARD_ADDRESSES and bool(host) and ":" not in host)


def conflict(left: PublishedPort, right: PublishedPort) -> bool:
    """Whether two published ports cannot both exist on one node. One that is still to be chosen conflicts with none."""
    if not left.published or (protocol_of(left), left.published) != (protocol_of(right), right.published):
        return False
    return covers(left.host_address, right.host_address) or covers(right.host_address, left.host_address)


def ranges_overlap(left: PublishedPort, right: PublishedPort) -> bool:
    """Whether two ports may come to have the same number, of which one at least is still to be chosen from a range."""
    first, last = (left.published or left.published_first), (left.published or left.published_last)
    start, end = (right.published or right.published_first), (right.published or right.published_last)
    return protocol_of(left) == protocol_of(right) and bool(first and start) and first <= end and start <= last


def listens_on(listener: HostListener, port: PublishedPort, published: int = 0) -> bool:
    """Whether a program of a host has the port there, so that no task and no service can.

    Args:
        published: in place of the port's own, where that is still to be chosen.
    """
    number = published or port.published
    if (listener.protocol, listener.port) != (protocol_of(port), number):
        return False
    if number == _NAME_SERVICE and listener.address.startswith("127."):
        return False  # resolvers of hosts are usually there, and agents leave them alone
    return not listener.address or port.host_address in (*WILDCARD_ADDRESSES, listener.address)


def is_assigned(port: PublishedPort, *, by: PublishedPort) -> bool:
    """Whether a port that the planner gave is what was asked for, the number that it chose itself included."""
    same = (protocol_of(port), port.target, port.host_address, port.local_only) == (
        protocol_of(by),
        by.target,
        by.host_address,
        by.local_only,
    )
    return same and (by.published == port.published if port.published else by.published in candidate_ports(port))


def with_assigned_numbers(asked: Iterable[PublishedPort], given: Iterable[PublishedPort]) -> list[PublishedPort]:
    """The ports that are asked for, with the numbers that the planner has chosen for those without one so far."""
    left, found = list(given), []
    for port in asked:
        chosen = next((each for each in left if is_mesh(port) and is_assigned(port, by=each)), None)
        if chosen is not None:
            left.remove(chosen)
        found.append(port if chosen is None or port.published else chosen)
    return found


def first_conflict(port: PublishedPort, others: Iterable[PublishedPort]) -> PublishedPort | None:
    """The first of the others that takes the port."""
    return next((other for other in others if conflict(port, other)), None)


def describe_port(port: PublishedPort) -> str:
    """ "127.0.0.1:8080->80/tcp", as listings show it."""
    choice = f"{port.published_first}-{port.published_last}" if port.published_first else "*"
    host = f"{bracketed(port.host_address) or '*'}:{port.published or choice}"
    return f"{host}->{port.target}/{protocol_name(port.protocol)}"
