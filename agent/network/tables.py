"""The planner's word on networks, as a value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from typing import TypeVar

from agent.network.netlink.messages import ENTRY_MARK, ENTRY_MASK
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, TaskEndpoint
from shoal.errors import Fault, InvalidInput


@dataclass(frozen=True)
class Subnet:
    """A network's addresses, whether they may leave the cluster, and whether it is the routing mesh's.

    Attributes:
        block: what the prefix may be widened to, None when it stays as it is. Containers have a route to all of it.
    """

    prefix: IPv4Network
    internal: bool
    mesh: bool = False
    block: IPv4Network | None = None

    @property
    def reach(self) -> IPv4Network:
        return self.block or self.prefix


@dataclass(frozen=True)
class Tables:
    """What the kernel should know of the rest of the cluster.

    Attributes:
        subnets: by network id.
        peers: MAC address of each other node's VTEP, by underlay address.
        routes: underlay address of the node that has a container's address, by that address.
        entries: mark of what comes in by another node, by that one's underlay address; none without a routing mesh.
    """

    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    peers: Mapping[IPv4Address, str] = field(default_factory=dict)
    routes: Mapping[IPv4Address, IPv4Address] = field(default_factory=dict)
    entries: Mapping[IPv4Address, int] = field(default_factory=dict)


def tables(
    networks: Sequence[NetworkAssignment],
    endpoints: Sequence[TaskEndpoint],
    peers: Sequence[Peer],
    node_id: str,
) -> Tables:
    """The tables of the node `node_id`. Its own endpoints need none; those of a peer not (yet) told have no route.

    Raises:
        InvalidInput: something is no address, or two subnets overlap; all faults at once.
    """
    faults: list[Fault] = []
    by_id = {peer.node_id: peer for peer in peers if peer.node_id != node_id}
    places: dict[str, IPv4Address] = {}
    for peer in by_id.values():
        if (address := _address(peer.address, f"peer {peer.node_id}", faults)) is not None:
            places[peer.node_id] = address
    routes = {
        address: places[endpoint.node_id]
        for endpoint in endpoints
        if endpoint.node_id in places
        for given in endpoint.addresses
        if (address := _address(given.address, f"task {endpoint.task_id}", faults)) is not None
    }
    subnets = _subnets(networks, faults)
    if faults:
        raise InvalidInput(faults)
    has_mesh = any(subnet.mesh for subnet in subnets.values())
    entries = {address: entry_mark(address) for address in places.values()} if has_mesh else {}
    return Tables(subnets, {places[key]: by_id[key].vtep_mac.lower() for key in places}, routes, entries)


def entry_mark(peer: IPv4Address) -> int:
    """The mark of connections that this node leads here, and the number of the table that leads back to it.

    Nodes whose underlay addresses differ in the first octet alone cannot be told apart.
    """
    return ENTRY_MARK | int(peer) & ~ENTRY_MASK


def _address(text: str, where: str, faults: list[Fault]) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        faults.append(Fault(where, f"'{text}' is no IPv4 address"))
        return None


def _subnets(networks: Iterable[NetworkAssignment], faults: list[Fault]) -> dict[str, Subnet]:
    found: dict[str, Subnet] = {}
    for network in networks:
        where = f"network {network.name or network.network_id}"
        try:
            prefix = IPv4Network(network.subnet)
            block = IPv4Network(network.block) if network.block else None
        except ValueError:
            faults.append(Fault(where, f"'{network.subnet}' is no IPv4 subnet"))
            continue
        found[network.network_id] = Subnet(prefix, network.internal, network.mesh, block)
    ordered = sorted(found.items(), key=lambda item: item[1].prefix)
    for (one, left), (other, right) in pairwise(ordered):
        if left.prefix.overlaps(right.prefix):
            faults.append(Fault(f"network {other}", f"{right.prefix} overlaps {left.prefix} of network {one}"))
    return found


def without_common(old: Tables, new: Tables) -> tuple[Tables, Tables]:
    """Both without the entries that they share, so that the work of a change is that of what changes."""
    return _without(new, old), _without(old, new)


def _without(other: Tables, given: Tables) -> Tables:
    return Tables(
        _not_in(other.subnets, given.subnets),
        _not_in(other.peers, given.peers),
        _not_in(other.routes, given.routes),
        _not_in(other.entries, given.entries),
    )


Key = TypeVar("Key")
Value = TypeVar("Value")


def _not_in(other: Mapping[Key, Value], entries: Mapping[Key, Value]) -> dict[Key, Value]:
    return {key: value for key, value in entries.items() if other.get(key) != value}
