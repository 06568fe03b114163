"""The planner's word on encrypted networks, as a value. Pure."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
        keys: of the other nodes, by underlay address and generation: WireGuard's.
        esp_keys: the same of ESP.
        places: the underlay address of the node that has a container's address, by that address. Only of other nodes.
    """

    generation: int = 0
    keys: Mapping[Address, Mapping[int, NodeKey]] = field(default_factory=dict)
    places: Mapping[Address, Address] = field(default_factory=dict)
    esp_keys: Mapping[Address, Mapping[int, NodeKey]] = field(default_factory=dict)


@dataclass(frozen=True)
class Moves:
    """Containers' addresses on encrypted networks that other nodes have no more, and that they have from now on.

    Attributes:
        gone, come: underlay address of the node, by the container's.
    """

    gone: Mapping[Address, Address] = field(default_factory=dict)
    come: Mapping[Address, Address] = field(default_factory=dict)

    @property
    def nodes(self) -> frozenset[Address]:
        """Whose addresses these are."""
        return frozenset((*self.gone.values(), *self.come.values()))

    def of(self, nodes: Container[Address]) -> "Moves":
        """The part that is of some nodes."""
        gone, come = (
            {address: node for address, node in side.items() if node in nodes} for side in (self.gone, self.come)
        )
        return Moves(gone, come)

    def __bool__(self) -> bool:
        return bool(self.gone or self.come)


def moves(before: Mapping[Address, Address], after: Mapping[Address, Address]) -> Moves:
    """From some places to others."""
    return Moves(dict(before.items() - after.items()), dict(after.items() - before.items()))


NOTHING_SEALED = Sealed()
_KINDS = (OverlayKey.WIREGUARD, OverlayKey.ESP)


def encrypted_ids(networks: Sequence[NetworkAssignment]) -> frozenset[str]:
    """Ids of the encrypted networks."""
    return frozenset(network.network_id for network in networks if network.key_generation)


def sealed(
    networks: Sequence[NetworkAssignment],
    endpoints: Sequence[TaskEndpoint],
    peers: Sequence[Peer],
    node_id: str,
    *,
    ipv6: bool,
) -> Sealed:
    """What concerns encrypted networks alone; what is no address or no key is as if it had not been told.

    Nobody's address leads to a node without a key: it is unreachable, never in clear.

    Args:
        ipv6: whether the node has it; else what is of IPv6 is left out.
    """
    encrypted = encrypted_ids(networks)
    if not encrypted:
        return NOTHING_SEALED
    nodes: dict[str, Address] = {}
    keys: dict[OverlayKey.Kind.ValueType, dict[Address, Mapping[int, NodeKey]]] = {kind: {} for kind in _KINDS}
    for peer in peers:
        if peer.node_id != node_id and (address := _address(peer.address)) is not None:
            nodes[peer.node_id] = address
            for kind in _KINDS:
                if own := _keys(peer, kind):
                    keys[kind][address] = own
    places = {
        address: nodes[endpoint.node_id]
        for endpoint in endpoints
        if endpoint.node_id in nodes
        for given in endpoint.addresses
        if given.network_id in encrypted
        for text in (given.address, given.address6 if ipv6 else "")
        if (address := _address(text)) is not None
    }
    generation = max(network.key_generation for network in networks)
    return Sealed(generation, keys[OverlayKey.WIREGUARD], places, keys[OverlayKey.ESP])


def _keys(peer: Peer, kind: OverlayKey.Kind.ValueType) -> Mapping[int, NodeKey]:
    return {
        each.generation: NodeKey(each.public_key, each.port) for each in peer.keys if is_key(each) and each.kind == kind
    }


def by_kind(whole: Sealed, *, wireguard: bool, esp: bool) -> tuple[Sealed, Sealed]:
    """The parts that are WireGuard's and ESP's. Two nodes that have WireGuard both speak by it, else by ESP.

    A node that has both makes keys of ESP only for others that have nothing else, which shows by their keys.

    Args:
        wireguard, esp: what this node has.
    """
    if not esp:
        return replace(whole, esp_keys={}), NOTHING_SEALED
    first = frozenset(whole.keys) if wireguard else frozenset[Address]()
    others = {node: keys for node, keys in whole.esp_keys.items() if node not in first}
    by_wireguard = Sealed(
        whole.generation if wireguard else 0,
        {node: whole.keys[node] for node in first},
        {address: node for address, node in whole.places.items() if node in first},
    )
    by_esp = Sealed(
        whole.generation if others or not wireguard else 0,
        others,
        {address: node for address, node in whole.places.items() if node in others},
    )
    return by_wireguard, by_esp


def is_key(told: OverlayKey) -> bool:
    """Whether it has the form of one."""
    return len(told.public_key) == KEY_BYTES and 0 < told.port < 1 << 16 and told.generation > 0


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
