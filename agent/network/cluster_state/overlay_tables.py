"""Subnets, peers and routes of the overlay, from the assigned records. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import pairwise
from typing import NamedTuple

from agent.network.cluster_state.diff import Diff, mapping_diff
from agent.network.cluster_state.encrypted_overlay import NO_ENCRYPTION, EncryptedOverlay, encrypted_overlay
from agent.network.ip_types import Address, Network
from agent.network.netlink.rtnetlink import INGRESS_MARK, INGRESS_MASK, ZONE_MASK
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, TaskEndpoint
from shoal.errors import Fault, InvalidInput
from shoal.networks.vtep import vtep_number


@dataclass(frozen=True)
class OverlaySubnet:
    """A network's prefixes, whether it is internal, and whether it is the routing mesh's.

    Attributes:
        supernet: what the prefix may grow to, None when it is fixed. Containers have a route to all of it.
        prefix6: its IPv6 prefix; None without one, or on a node without IPv6.
    """

    prefix: IPv4Network
    internal: bool
    mesh: bool = False
    supernet: IPv4Network | None = None
    prefix6: IPv6Network | None = None
    encrypted: bool = False

    @property
    def prefixes(self) -> tuple[Network, ...]:
        """Of both families."""
        return (self.prefix,) if self.prefix6 is None else (self.prefix, self.prefix6)

    @property
    def routed_prefix(self) -> IPv4Network:
        return self.supernet or self.prefix


class IngressMark(NamedTuple):
    """The mark of connections that come in through another node, and the MAC address of that node's VTEP."""

    mark: int
    mac: str


@dataclass(frozen=True)
class OverlayTables:
    """The rest of the cluster as the kernel should hold it.

    Attributes:
        subnets: by network id.
        peers: MAC address of each other node's VTEP, by underlay address.
        routes: underlay address of the node that has a container's address, by that address.
        encrypted: encrypted networks, whose addresses are not in `routes`.
        ingress_marks: by a node's underlay address, the mark of connections that come in through it; none without a
            routing mesh.
    """

    subnets: Mapping[str, OverlaySubnet] = field(default_factory=dict)
    peers: Mapping[Address, str] = field(default_factory=dict)
    routes: Mapping[Address, Address] = field(default_factory=dict)
    ingress_marks: Mapping[Address, IngressMark] = field(default_factory=dict)
    encrypted: EncryptedOverlay = NO_ENCRYPTION


def overlay_tables(
    networks: Sequence[NetworkAssignment],
    endpoints: Sequence[TaskEndpoint],
    peers: Sequence[Peer],
    node_id: str,
    *,
    ipv6: bool = True,
) -> OverlayTables:
    """The tables of the node `node_id`. Its own endpoints need none; those of an unknown peer have no route.

    Args:
        ipv6: whether the node has IPv6; otherwise IPv6 addresses are left out.
    Raises:
        InvalidInput: an address is invalid, or two subnets overlap; all field errors at once.
    """
    faults: list[Fault] = []
    by_id = {peer.node_id: peer for peer in peers if peer.node_id != node_id}
    node_addresses: dict[str, Address] = {}
    for peer in by_id.values():
        if (address := _parse_address(peer.address, f"peer {peer.node_id}", faults)) is not None:
            node_addresses[peer.node_id] = address
    routes: dict[Address, Address] = {}
    for endpoint in endpoints:
        if (node_address := node_addresses.get(endpoint.node_id)) is not None:
            routes.update((address, node_address) for address in _addresses(endpoint, ipv6, faults))
    subnets = _subnets(networks, ipv6, faults)
    if faults:
        raise InvalidInput(faults)
    has_mesh = any(subnet.mesh for subnet in subnets.values())
    macs = {node_addresses[key]: by_id[key].vtep_mac.lower() for key in node_addresses}
    marks = assign_ingress_marks(node_addresses.values()) if has_mesh else {}
    ingress_marks = {peer: IngressMark(mark, macs[peer]) for peer, mark in marks.items()}
    encrypted = encrypted_overlay(networks, endpoints, peers, node_id, ipv6=ipv6)
    open_routes = {
        address: node_address for address, node_address in routes.items() if address not in encrypted.locations
    }
    return OverlayTables(subnets, macs, open_routes, ingress_marks, encrypted)


def assign_ingress_marks(peers: Iterable[Address]) -> dict[Address, int]:
    """The mark of connections that each node forwards here, which is also the number of the routing table back to it.
    No two have the same conntrack zone."""
    found: dict[Address, int] = {}
    used_zones = {0}
    for peer in sorted(peers, key=int):
        mark = INGRESS_MARK | vtep_number(peer) & ~INGRESS_MASK
        # Nodes that differ in the first bits alone.
        while mark & ZONE_MASK in used_zones and len(used_zones) <= ZONE_MASK:
            mark = INGRESS_MARK | mark + 1 & ~INGRESS_MASK
        used_zones.add(mark & ZONE_MASK)
        found[peer] = mark
    return found


def _parse_address(text: str, where: str, faults: list[Fault]) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        faults.append(Fault(where, f"'{text}' is not an IP address"))
        return None


def _addresses(endpoint: TaskEndpoint, ipv6: bool, faults: list[Fault]) -> Iterator[Address]:
    for given in endpoint.addresses:
        for text in (given.address, given.address6 if ipv6 else ""):
            if text and (address := _parse_address(text, f"task {endpoint.task_id}", faults)) is not None:
                yield address


def _subnets(networks: Iterable[NetworkAssignment], ipv6: bool, faults: list[Fault]) -> dict[str, OverlaySubnet]:
    found: dict[str, OverlaySubnet] = {}
    for network in networks:
        where = f"network {network.name or network.network_id}"
        try:
            prefix = IPv4Network(network.subnet)
            supernet = IPv4Network(network.supernet) if network.supernet else None
            prefix6 = IPv6Network(network.subnet6) if network.subnet6 and ipv6 else None
        except ValueError as error:
            faults.append(Fault(where, f"invalid subnet: {error}"))
            continue
        encrypted = network.key_generation > 0
        found[network.network_id] = OverlaySubnet(prefix, network.internal, network.mesh, supernet, prefix6, encrypted)
    faults += _overlaps({identifier: subnet.prefix for identifier, subnet in found.items()})
    faults += _overlaps({identifier: subnet.prefix6 for identifier, subnet in found.items() if subnet.prefix6})
    return found


def _overlaps(prefixes: Mapping[str, IPv4Network] | Mapping[str, IPv6Network]) -> Iterator[Fault]:
    ordered: list[tuple[str, Network]] = sorted(prefixes.items(), key=lambda item: int(item[1].network_address))
    for (one, left), (other, right) in pairwise(ordered):
        if int(right.network_address) <= int(left.broadcast_address):
            yield Fault(f"network {other}", f"{right} overlaps {left} of network {one}")


def table_diff(before: OverlayTables, after: OverlayTables) -> Diff[OverlayTables]:
    """The entries that differ, except for encrypted networks."""
    subnets = mapping_diff(before.subnets, after.subnets)
    peers = mapping_diff(before.peers, after.peers)
    routes = mapping_diff(before.routes, after.routes)
    marks = mapping_diff(before.ingress_marks, after.ingress_marks)
    return Diff(
        OverlayTables(subnets.removed, peers.removed, routes.removed, marks.removed),
        OverlayTables(subnets.added, peers.added, routes.added, marks.added),
    )


def removed_addresses(before: OverlayTables, after: OverlayTables) -> frozenset[Address]:
    """Container addresses that no other node has any more, encrypted or not."""
    old, new = (each.routes.keys() | each.encrypted.locations.keys() for each in (before, after))
    return frozenset(old - new)
