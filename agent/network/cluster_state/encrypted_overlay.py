"""Keys and locations of encrypted networks, from the assigned records. Pure."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from agent.network.netlink.rtnetlink import Address
from agent.network.netlink.wireguard import KEY_BYTES
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, TaskEndpoint
from shoal.api.v1.node_pb2 import OverlayKey


@dataclass(frozen=True)
class NodeKey:
    """Another node's public key, and the UDP port where it is spoken."""

    key: bytes
    port: int


@dataclass(frozen=True)
class EncryptedOverlay:
    """What this node is to encrypt, and for whom.

    Attributes:
        generation: of the keys that it is to have; 0 when it is on no encrypted network.
        keys: of the other nodes, by underlay address and generation: WireGuard's.
        esp_keys: the same of ESP.
        locations: the underlay address of the node that has a container's address, by that address. Only of other nodes.
    """

    generation: int = 0
    keys: Mapping[Address, Mapping[int, NodeKey]] = field(default_factory=dict)
    locations: Mapping[Address, Address] = field(default_factory=dict)
    esp_keys: Mapping[Address, Mapping[int, NodeKey]] = field(default_factory=dict)


@dataclass(frozen=True)
class AddressMoves:
    """Containers' addresses on encrypted networks that other nodes have no more, and that they have from now on.

    Attributes:
        removed, added: underlay address of the node, by the container's.
    """

    removed: Mapping[Address, Address] = field(default_factory=dict)
    added: Mapping[Address, Address] = field(default_factory=dict)

    @property
    def nodes(self) -> frozenset[Address]:
        """Whose addresses these are."""
        return frozenset((*self.removed.values(), *self.added.values()))

    def on_nodes(self, nodes: Container[Address]) -> "AddressMoves":
        """The part that is of some nodes."""
        removed, added = (
            {address: node for address, node in side.items() if node in nodes} for side in (self.removed, self.added)
        )
        return AddressMoves(removed, added)

    def __bool__(self) -> bool:
        return bool(self.removed or self.added)


def address_moves(before: Mapping[Address, Address], after: Mapping[Address, Address]) -> AddressMoves:
    """From some places to others."""
    return AddressMoves(dict(before.items() - after.items()), dict(after.items() - before.items()))


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
    """What concerns encrypted networks alone; what is no address or no key is as if it had not been told.

    Nobody's address leads to a node without a key: it is unreachable, never in clear.

    Args:
        ipv6: whether the node has it; else what is of IPv6 is left out.
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
    """The parts that are WireGuard's and ESP's. Two nodes that have WireGuard both speak by it, else by ESP.

    A node that has both makes keys of ESP only for others that have nothing else, which shows by their keys.

    Args:
        wireguard, esp: what this node has.
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
    """Whether it has the form of one."""
    return len(key.public_key) == KEY_BYTES and 0 < key.port < 1 << 16 and key.generation > 0


def _parse_address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
