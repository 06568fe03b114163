"""The planner's word on encrypted networks, as a value. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from agent.network.netlink.messages import Address
from agent.network.netlink.wireguard import KEY_BYTES
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, TaskEndpoint
from shoal.api.v1.node_pb2 import OverlayKey


@dataclass(frozen=True)
class NodeKey:
    """Another node's public key, and the UDP port where it is spoken."""

    key: bytes
    port: int


@dataclass(frozen=True)
class Sealed:
    """What this node is to encrypt, and for whom.

    Attributes:
        generation: of the keys that it is to have; 0 when it is on no encrypted network.
        keys: of the other nodes, by underlay address and generation.
        places: the underlay address of the node that has a container's address, by that address. Only of other nodes.
    """

    generation: int = 0
    keys: Mapping[Address, Mapping[int, NodeKey]] = field(default_factory=dict)
    places: Mapping[Address, Address] = field(default_factory=dict)


NOTHING_SEALED = Sealed()


def encrypted_ids(networks: Sequence[NetworkAssignment]) -> frozenset[str]:
    """Ids of the encrypted networks."""
    return frozenset(network.network_id for network in networks if network.key_generation)


def sealed(
    networks: Sequence[NetworkAssignment], endpoints: Sequence[TaskEndpoint], peers: Sequence[Peer], node_id: str
) -> Sealed:
    """What concerns encrypted networks alone; what is no address or no key is as if it had not been told.

    Nobody's address leads to a node without a key: it is unreachable, never in clear.
    """
    encrypted = encrypted_ids(networks)
    if not encrypted:
        return NOTHING_SEALED
    nodes: dict[str, Address] = {}
    keys: dict[Address, Mapping[int, NodeKey]] = {}
    for peer in peers:
        if peer.node_id != node_id and (address := _address(peer.address)) is not None:
            nodes[peer.node_id] = address
            keys[address] = {each.generation: NodeKey(each.public_key, each.port) for each in filter(is_key, peer.keys)}
    places = {
        address: nodes[endpoint.node_id]
        for endpoint in endpoints
        if endpoint.node_id in nodes
        for given in endpoint.addresses
        if given.network_id in encrypted
        for text in (given.address, given.address6)
        if (address := _address(text)) is not None
    }
    generation = max(network.key_generation for network in networks)
    return Sealed(generation, {address: found for address, found in keys.items() if found}, places)


def is_key(told: OverlayKey) -> bool:
    """Whether it has the form of one."""
    return len(told.public_key) == KEY_BYTES and 0 < told.port < 1 << 16 and told.generation > 0


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
