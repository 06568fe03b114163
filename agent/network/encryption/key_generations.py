"""Selects the tunnel to each node and the peers of each tunnel, across key generations. Pure.

A node has one device for each generation of its keys: one, and a second one during a key rollover. Both receive packets
all the time; traffic to a node switches to the new device once a handshake with that node has succeeded on it, which
proves that the node receives there too. So a rollover loses no packets, although no two nodes switch at the same time.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_network

from agent.network.cluster_state.encrypted_overlay import AddressMoves, EncryptedOverlay, NodeKey, moved_nodes
from agent.network.host.underlay import next_hop
from agent.network.ip_types import Address, Network
from agent.network.netlink.rtnetlink import KernelRoute
from agent.network.netlink.wireguard import TunnelPeer

KEEPALIVE_SECONDS = 25
"""Until the first handshake with a peer, which the first empty packet starts at once."""


@dataclass(frozen=True)
class Tunnel:
    """One device.

    Attributes:
        link: index of the device.
        key: public.
        peers: its configured peers, by public key.
        confirmed: keys of the peers with which a handshake has ever succeeded.
        received: bytes from all peers.
        name: of the device.
        uses_next_hops: whether routes go through a node's address in the overlay, as on the VXLAN device.
        needs_rekey: whether its keys must not be used any more.
        has_policies: whether the kernel drops unencrypted packets on its port.
    """

    generation: int
    link: int
    key: bytes
    port: int
    mtu: int
    peers: Mapping[bytes, TunnelPeer] = field(default_factory=dict)
    confirmed: frozenset[bytes] = frozenset()
    received: int = 0
    name: str = ""
    uses_next_hops: bool = False
    needs_rekey: bool = False
    has_policies: bool = True


def device_name(prefix: str, generation: int) -> str:
    """Two alternating names: no more than two generations exist on a node at a time."""
    return f"{prefix}{generation % 2}"


def device_port(first: int, generation: int) -> int:
    """Two alternating ports, the first one and the following."""
    return first + generation % 2


def desired_peers(overlay: EncryptedOverlay, tunnel: Tunnel) -> dict[bytes, TunnelPeer]:
    """The peers that the device should have: every node with a key of its generation, with all its addresses."""
    allowed: dict[Address, set[Network]] = {}
    for address, node in overlay.locations.items():
        allowed.setdefault(node, set()).add(ip_network(address))
    found = {}
    is_newest = tunnel.generation == overlay.generation
    for node, keys in overlay.keys.items():
        if (node_key := keys.get(tunnel.generation)) is not None and node_key.key != tunnel.key:
            keepalive = KEEPALIVE_SECONDS if node_key.key not in tunnel.confirmed and is_newest else 0
            found[node_key.key] = TunnelPeer(
                node_key.key, (node, node_key.port), frozenset(allowed.get(node, ())), keepalive
            )
    return found


def selected_tunnels(overlay: EncryptedOverlay, tunnels: Collection[Tunnel]) -> dict[Address, Tunnel]:
    """The tunnel to each node: preferably one that it has answered on, then that of the newest keys. Nodes that share
    no generation with this one have none."""
    pairs = ((node, tunnel_to(node, overlay, tunnels)) for node in overlay.keys)
    return {node: tunnel for node, tunnel in pairs if tunnel is not None}


def tunnel_to(node: Address, overlay: EncryptedOverlay, tunnels: Iterable[Tunnel]) -> Tunnel | None:
    """See `selected_tunnels`."""
    keys = overlay.keys.get(node, {})
    usable = [each for each in tunnels if each.generation in keys and keys[each.generation].key in each.peers]
    return max(usable, key=partial(_preference, overlay.generation, keys), default=None)


def _preference(newest: int, keys: Mapping[int, NodeKey], tunnel: Tunnel) -> tuple[bool, bool, int]:
    return keys[tunnel.generation].key in tunnel.confirmed, tunnel.generation == newest, tunnel.generation


def routes(overlay: EncryptedOverlay, tunnels: Collection[Tunnel]) -> frozenset[KernelRoute]:
    """One for each container address that can be reached through a tunnel."""
    return routes_to(overlay.locations, overlay, tunnels)


def routes_to(
    locations: Mapping[Address, Address], overlay: EncryptedOverlay, tunnels: Collection[Tunnel]
) -> frozenset[KernelRoute]:
    """The routes to some addresses, by the nodes that have them."""
    selected = {node: tunnel_to(node, overlay, tunnels) for node in set(locations.values())}
    return frozenset(
        _route(address, node, tunnel) for address, node in locations.items() if (tunnel := selected[node]) is not None
    )


def peers_after_moves(moves: AddressMoves, overlay: EncryptedOverlay, tunnel: Tunnel) -> dict[bytes, TunnelPeer]:
    """The peers whose addresses change, with their addresses afterwards."""
    found = {}
    for node in moved_nodes(moves):
        node_key = overlay.keys.get(node, {}).get(tunnel.generation)
        if node_key is not None and (peer := tunnel.peers.get(node_key.key)) is not None:
            removed, added = (
                frozenset(ip_network(address) for address, location in side.items() if location == node)
                for side in (moves.removed, moves.added)
            )
            found[node_key.key] = replace(peer, allowed_ips=(peer.allowed_ips - removed) | added)
    return found


def _route(address: Address, node: Address, tunnel: Tunnel) -> KernelRoute:
    via = next_hop(node, address.version) if tunnel.uses_next_hops else None
    return KernelRoute(ip_network(address), tunnel.link, via)


def superseded_tunnels(overlay: EncryptedOverlay, tunnels: Collection[Tunnel]) -> list[Tunnel]:
    """Tunnels that are deleted at once: the new one needs their name, or there is no encrypted network any more."""
    return [
        each
        for each in tunnels
        if not overlay.generation
        or (each.generation != overlay.generation and each.generation % 2 == overlay.generation % 2)
    ]


def is_settled(tunnels: Collection[Tunnel]) -> bool:
    """Whether no rollover is in progress: every peer has answered, and no older keys are left."""
    return len(tunnels) < 2 and all(each.peers.keys() <= each.confirmed for each in tunnels)


def unused_tunnels(overlay: EncryptedOverlay, tunnels: Collection[Tunnel]) -> list[Tunnel]:
    """Tunnels of older keys that this node no longer sends on. Others may still send on them."""
    used = {each.generation for each in selected_tunnels(overlay, tunnels).values()}
    return [each for each in tunnels if each.generation != overlay.generation and each.generation not in used]
