"""Keys and locations of encrypted networks, from the assigned records. Pure."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from agent.network.cluster_state.diff import Diff
from agent.network.ip_types import Address
from agent.network.netlink.wireguard import KEY_BYTES
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, TaskEndpoint
from shoal.api.v1.node_pb2 import OverlayKey


@dataclass(frozen=True)
class NodeKey:
    """Another node's public key, and the UDP port of its tunnel."""

    key: bytes
    port: int


@dataclass(frozen=True)
class EncryptedOverlay:
    """The encrypted networks as this node needs them.

    Attributes:
        generation: key generation that this node should use; 0 when it is on no encrypted network.
        keys: WireGuard keys of the other nodes, by underlay address and generation.
        esp_keys: ESP keys, likewise.
        locations: the underlay address of the node that has a container's address, by that address. Other nodes only.
    """

    generation: int = 0
    keys: Mapping[Address, Mapping[int, NodeKey]] = field(default_factory=dict)
    locations: Mapping[Address, Address] = field(default_factory=dict)
    esp_keys: Mapping[Address, Mapping[int, NodeKey]] = field(default_factory=dict)


AddressMoves = Diff[Mapping[Address, Address]]
"""Container addresses on encrypted networks that other nodes lose and get: the node's underlay address, by address."""
NO_MOVES = AddressMoves({}, {})


def moved_nodes(moves: AddressMoves) -> frozenset[Address]:
    """The nodes whose addresses change."""
    return frozenset((*moves.removed.values(), *moves.added.values()))


def moves_on_nodes(moves: AddressMoves, nodes: Container[Address]) -> AddressMoves:
    """The moves from and to some nodes only."""
    removed, added = (
        {address: node for address, node in side.items() if node in nodes} for side in (moves.removed, moves.added)
    )
    return AddressMoves(removed, added)


NO_ENCRYPTION = EncryptedOverlay()
_KINDS = (OverlayKey.WIREGUARD, OverlayKey.ESP)


def encrypted_network_ids(networks: Sequence[NetworkAssignment]) -> frozenset[str]:
    """Ids of the encrypted networks."""
    return frozenset(network.network_id for network in networks if network.key_generation)


def encrypted_overlay(
    networks: Sequence[NetworkAssignment],
    endpoints: Sequence[TaskEndpoint],
    peers: Sequence[Peer],
    node_id: str,
    *,
    ipv6: bool,
) -> EncryptedOverlay:
    """The part of the records about encrypted networks; invalid addresses and keys are ignored.

    Addresses on a node without a key are unreachable, never sent in clear text.

    Args:
        ipv6: whether the node has IPv6; otherwise IPv6 addresses are left out.
    """
    encrypted = encrypted_network_ids(networks)
    if not encrypted:
        return NO_ENCRYPTION
    nodes: dict[str, Address] = {}
    keys: dict[OverlayKey.Kind.ValueType, dict[Address, Mapping[int, NodeKey]]] = {kind: {} for kind in _KINDS}
    for peer in peers:
        if peer.node_id != node_id and (address := _parse_address(peer.address)) is not None:
            nodes[peer.node_id] = address
            for kind in _KINDS:
                if own := _keys(peer, kind):
                    keys[kind][address] = own
    locations = {
        address: nodes[endpoint.node_id]
        for endpoint in endpoints
        if endpoint.node_id in nodes
        for given in endpoint.addresses
        if given.network_id in encrypted
        for text in (given.address, given.address6 if ipv6 else "")
        if (address := _parse_address(text)) is not None
    }
    generation = max(network.key_generation for network in networks)
    return EncryptedOverlay(generation, keys[OverlayKey.WIREGUARD], locations, keys[OverlayKey.ESP])


def _keys(peer: Peer, kind: OverlayKey.Kind.ValueType) -> Mapping[int, NodeKey]:
    return {
        each.generation: NodeKey(each.public_key, each.port)
        for each in peer.keys
        if is_valid_key(each) and each.kind == kind
    }


def split_by_method(
    overlay: EncryptedOverlay, *, wireguard: bool, esp: bool
) -> tuple[EncryptedOverlay, EncryptedOverlay]:
    """The parts for WireGuard and for ESP. Two nodes that both support WireGuard use it, otherwise ESP.

    A node that supports both creates ESP keys only for nodes that support nothing else, as their keys show.

    Args:
        wireguard, esp: whether this node supports them.
    """
    if not esp:
        return replace(overlay, esp_keys={}), NO_ENCRYPTION
    first = frozenset(overlay.keys) if wireguard else frozenset[Address]()
    others = {node: keys for node, keys in overlay.esp_keys.items() if node not in first}
    by_wireguard = EncryptedOverlay(
        overlay.generation if wireguard else 0,
        {node: overlay.keys[node] for node in first},
        {address: node for address, node in overlay.locations.items() if node in first},
    )
    by_esp = EncryptedOverlay(
        overlay.generation if others or not wireguard else 0,
        others,
        {address: node for address, node in overlay.locations.items() if node in others},
    )
    return by_wireguard, by_esp


def is_valid_key(key: OverlayKey) -> bool:
    """Whether length, port and generation are valid."""
    return len(key.public_key) == KEY_BYTES and 0 < key.port < 1 << 16 and key.generation > 0


def _parse_address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
