"""A task's network attachment as a value, and the kernel entries that follow from it."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from agent.network.cluster_state.overlay_tables import OverlaySubnet
from agent.network.ip_protocols import protocol_number
from agent.network.ip_types import Address
from agent.network.netlink.rtnetlink import (
    BLACKHOLE_LINK,
    KernelRoute,
    Message,
    Neighbour,
    add_address,
    add_neighbour,
    add_route,
    delete_address,
    delete_neighbour,
    delete_route,
)
from agent.network.well_known import GATEWAY, GATEWAY6, NODE_POOL6, link_name
from shoal.api.v1.task_pb2 import TaskPort

_ANYWHERE, _ANYWHERE6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")
AnyAddress = TypeVar("AnyAddress", IPv4Address, IPv6Address)

CONTAINER_INDEX = 2
"""Link index of eth0 in the container's namespace."""


@dataclass(frozen=True)
class Port:
    """A published port. `host` None means every address of the node, an unspecified one every address of its family;
    `protocol` is IANA's number: 6, 17 or 132."""

    protocol: int
    host: Address | None
    published: int
    target: int

    def on_all_addresses(self, version: int) -> bool:
        """Whether it is published on every address of that IP version."""
        return self.host is None or (self.host.is_unspecified and self.host.version == version)

    def on_one_address(self, version: int) -> bool:
        """Whether it is published on one address only, of that IP version."""
        return self.host is not None and self.host.version == version and not self.host.is_unspecified


def port_from_message(message: TaskPort) -> Port:
    """The value of a message."""
    host = ip_address(message.host_address) if message.host_address else None
    return Port(protocol_number(message.protocol), host, message.published, message.target)


@dataclass(frozen=True)
class Attachment:
    """A task's link and addresses.

    Attributes:
        link: index of the host's end.
        mac: of the container's end.
        addresses: by network id; the node-local pool's under "".
        egress_address: source of traffic to outside the cluster, and target of published ports; None when all networks
            are internal.
        resolvers: for names outside the cluster; none means the node's.
        addresses6, egress_address6: the same for IPv6, where the networks and the node have it.
        container_id, links, aliases: as `NetworkOptions`.
    """

    task_id: str
    link: int
    mac: str
    addresses: Mapping[str, IPv4Address]
    egress_address: IPv4Address | None
    ports: Sequence[Port]
    resolvers: Sequence[Address] = ()
    addresses6: Mapping[str, IPv6Address] = field(default_factory=dict)
    egress_address6: IPv6Address | None = None
    container_id: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_addresses(self) -> Sequence[Address]:
        """Of both families."""
        return (*self.addresses.values(), *self.addresses6.values())

    @property
    def name(self) -> str:
        return link_name(self.task_id)

    @property
    def alias(self) -> str:
        """The link's alias: what a later agent process cannot derive from the task."""
        resolvers = ",".join(map(str, self.resolvers))
        local = self.addresses.get("", "")
        known = f"{self.task_id} mac={self.mac} exit={self.egress_address or ''} local={local} dns={resolvers}"
        return f"{known} exit6={self.egress_address6}" if self.egress_address6 else known


@dataclass(frozen=True)
class LinkAlias:
    """A parsed link alias. `local` is the task's address in the node-local pool, if it has one."""

    task_id: str
    mac: str
    egress_address: IPv4Address | None
    local: IPv4Address | None
    resolvers: tuple[Address, ...] = ()
    egress_address6: IPv6Address | None = None


_ALIAS = re.compile(
    r"(\w+) mac=([0-9a-f:]{17}) exit=([0-9.]*) local=([0-9.]*)(?: dns=([0-9a-f.:,]*))?(?: exit6=([0-9a-f:]+))?"
)


def parse_alias(text: str) -> LinkAlias | None:
    """Parse a link's alias; None when it is not one of ours."""
    if (match := _ALIAS.fullmatch(text)) is None:
        return None
    task_id, mac, egress, local, dns, egress6 = match.groups()
    try:
        resolvers = tuple(ip_address(text) for text in (dns or "").split(",") if text)
        egresses = IPv4Address(egress) if egress else None, IPv6Address(egress6) if egress6 else None
        return LinkAlias(task_id, mac, egresses[0], IPv4Address(local) if local else None, resolvers, egresses[1])
    except ValueError:  # looks like an address, but is not one
        return None


def local_address6(address: IPv4Address) -> IPv6Address:
    """The IPv6 address of a container with this address in the node-local pool."""
    return NODE_POOL6[int(address)]


def choose_egress_address(
    addresses: Mapping[str, AnyAddress], subnets: Mapping[str, OverlaySubnet], internal_only: bool
) -> AnyAddress | None:
    """The one on the routing mesh's network, otherwise the first one, in the task's order, on a network with egress.

    The kernel's SCTP replies from the default route's source address, whichever address the client used; clients that
    other nodes forward here use the mesh's.
    """
    if internal_only:
        return None
    candidates = [network for network in addresses if not network or not subnets[network].internal]
    if not candidates:
        return None
    return addresses[min(candidates, key=lambda network: not (network and subnets[network].mesh))]


def host_routes(attachment: Attachment) -> list[KernelRoute]:
    """A route over the task's link for each address, and a blackhole one behind it. The latter takes effect once the
    kernel has deleted the link with the container: no client gets "no route to host" before the agent knows."""
    prefixes = list(map(ip_network, attachment.all_addresses))
    return [KernelRoute(prefix, link) for link in (BLACKHOLE_LINK, attachment.link) for prefix in prefixes]


def host_neighbours(attachment: Attachment) -> list[Neighbour]:
    """Permanent: they need no ARP, and do not count against the kernel's limit of learned entries."""
    return [Neighbour(attachment.link, address, attachment.mac) for address in attachment.all_addresses]


def host_messages(attachment: Attachment) -> Iterator[Message]:
    """The requests in the node's namespace for a link that is up."""
    yield from map(add_route, host_routes(attachment))
    yield from map(add_neighbour, host_neighbours(attachment))


def removed_host_messages(before: Attachment, after: Attachment) -> Iterator[Message]:
    """The requests in the node's namespace that remove what only the earlier attachment has, on the same link."""
    routes, neighbours = set(host_routes(after)), set(host_neighbours(after))
    yield from (delete_route(each) for each in host_routes(before) if each not in routes)
    yield from (delete_neighbour(each) for each in host_neighbours(before) if each not in neighbours)


def container_messages(
    attachment: Attachment, subnets: Mapping[str, OverlaySubnet], encrypted_mtu: int
) -> Iterator[Message]:
    """The requests in the container's namespace: addresses, a route with its own source to each network, and egress.

    Args:
        encrypted_mtu: bytes; of routes to encrypted networks, which is smaller than the link's.
    """
    for address in attachment.all_addresses:
        yield add_address(CONTAINER_INDEX, address)
    yield from map(add_route, container_routes(attachment, subnets, encrypted_mtu))


def container_routes(
    attachment: Attachment, subnets: Mapping[str, OverlaySubnet], encrypted_mtu: int
) -> Iterator[KernelRoute]:
    """The routes in the container's namespace, without those to the gateway itself."""
    for network, address in attachment.addresses.items():
        if network:
            mtu = encrypted_mtu if subnets[network].encrypted else 0
            yield KernelRoute(subnets[network].routed_prefix, CONTAINER_INDEX, GATEWAY, address, mtu=mtu)
    if attachment.egress_address is not None:
        yield KernelRoute(_ANYWHERE, CONTAINER_INDEX, GATEWAY, attachment.egress_address)
    for network, address6 in attachment.addresses6.items():
        if network and (prefix := subnets[network].prefix6) is not None:
            mtu = encrypted_mtu if subnets[network].encrypted else 0
            yield KernelRoute(prefix, CONTAINER_INDEX, GATEWAY6, address6, mtu=mtu)
    if attachment.egress_address6 is not None:
        yield KernelRoute(_ANYWHERE6, CONTAINER_INDEX, GATEWAY6, attachment.egress_address6)


def surplus_messages(
    attachment: Attachment,
    subnets: Mapping[str, OverlaySubnet],
    *,
    addresses: Iterable[Address],
    routes: Iterable[KernelRoute],
    earlier: Collection[Address],
) -> Iterator[Message]:
    """The requests that remove from the container's namespace what it has of networks that it has left.

    Args:
        addresses, routes: of its link, and of ours; the container may have added addresses of its own, which stay.
        earlier: addresses that it had.
    """
    desired = {route.destination for route in container_routes(attachment, subnets, 0)}
    gateways = {ip_network(GATEWAY), ip_network(GATEWAY6)}
    yield from (delete_route(route) for route in routes if route.destination not in desired | gateways)
    kept = set(attachment.all_addresses)
    for address in addresses:
        ours = address in earlier or any(address in prefix for each in subnets.values() for prefix in each.prefixes)
        if ours and address not in kept:
            yield delete_address(CONTAINER_INDEX, address)
