"""One task's place on this node's network, as a value, and what the kernel must hold for it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

from agent.network.names import GATEWAY, link_name
from agent.network.netlink.messages import Message, Neighbour, Route, add_address, add_neighbour, add_route
from agent.network.protocols import protocol_number
from agent.network.tables import Subnet
from shoal.api.v1.task_pb2 import TaskPort

CONTAINER_INDEX = 2
"""Of eth0 in the container's namespace."""


@dataclass(frozen=True)
class Port:
    """A published port. `host` None means every address of the node; protocol by IANA's number: 6, 17 or 132."""

    protocol: int
    host: IPv4Address | None
    published: int
    target: int


def port(message: TaskPort) -> Port:
    """The value of a message that the planner wrote."""
    host = IPv4Address(message.host_address) if message.host_address not in ("", "0.0.0.0") else None  # noqa: S104
    return Port(protocol_number(message.protocol), host, message.published, message.target)


@dataclass(frozen=True)
class Attachment:
    """A task's link and addresses.

    Attributes:
        link: index of the host's end.
        mac: of the container's end.
        addresses: by network id; the one of the node's own pool under "".
        exit_address: the address for what leaves the cluster and for published ports; None when all networks are
            internal.
        resolvers: for names that are not the cluster's; none means the node's.
    """

    task_id: str
    link: int
    mac: str
    addresses: Mapping[str, IPv4Address]
    exit_address: IPv4Address | None
    ports: Sequence[Port]
    resolvers: Sequence[IPv4Address | IPv6Address] = ()

    @property
    def name(self) -> str:
        return link_name(self.task_id)

    @property
    def alias(self) -> str:
        """The link's alias: what a later process of this agent cannot learn from the task."""
        resolvers = ",".join(map(str, self.resolvers))
        local = self.addresses.get("", "")
        return f"{self.task_id} mac={self.mac} exit={self.exit_address or ''} local={local} dns={resolvers}"


@dataclass(frozen=True)
class Alias:
    """What a link's alias tells. `local` is the task's address of the node's own pool, if it has one."""

    task_id: str
    mac: str
    exit_address: IPv4Address | None
    local: IPv4Address | None
    resolvers: tuple[IPv4Address | IPv6Address, ...] = ()


_ALIAS = re.compile(r"(\w+) mac=([0-9a-f:]{17}) exit=([0-9.]*) local=([0-9.]*)(?: dns=([0-9a-f.:,]*))?")


def read_alias(text: str) -> Alias | None:
    """None when it is not one of ours."""
    if (match := _ALIAS.fullmatch(text)) is None:
        return None
    task_id, mac, out, local, given = match.groups()
    resolvers = tuple(ip_address(text) for text in (given or "").split(",") if text)
    return Alias(task_id, mac, IPv4Address(out) if out else None, IPv4Address(local) if local else None, resolvers)


def exit_address(
    addresses: Mapping[str, IPv4Address], subnets: Mapping[str, Subnet], internal_only: bool
) -> IPv4Address | None:
    """The first address, in the task's own order, on a network that may leave the cluster."""
    if internal_only:
        return None
    ways_out = (address for network, address in addresses.items() if not network or not subnets[network].internal)
    return next(ways_out, None)


def host_routes(attachment: Attachment) -> list[Route]:
    """Each address has a route of its own over the task's link."""
    return [Route(IPv4Network(address), attachment.link) for address in attachment.addresses.values()]


def host_neighbours(attachment: Attachment) -> list[Neighbour]:
    """Permanent, so that nobody asks, and none is counted against the kernel's bound of learned entries."""
    return [Neighbour(attachment.link, address, attachment.mac) for address in attachment.addresses.values()]


def host_messages(attachment: Attachment) -> Iterator[Message]:
    """What the node's namespace needs for a link that is up."""
    yield from map(add_route, host_routes(attachment))
    yield from map(add_neighbour, host_neighbours(attachment))


def container_messages(attachment: Attachment, subnets: Mapping[str, Subnet]) -> Iterator[Message]:
    """What the container's namespace needs: addresses, a route with its own source to each network, and a way out."""
    for network, address in attachment.addresses.items():
        yield add_address(CONTAINER_INDEX, address)
        if network:
            yield add_route(Route(subnets[network].reach, CONTAINER_INDEX, GATEWAY, address))
    if attachment.exit_address is not None:
        yield add_route(Route(IPv4Network("0.0.0.0/0"), CONTAINER_INDEX, GATEWAY, attachment.exit_address))
