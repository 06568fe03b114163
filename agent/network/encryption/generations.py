"""Which tunnel leads to whom, and what each is told of its peers. Pure.

A node has one device for each generation of its keys: one, and a second one while keys change. Both take in packets
all the time; what is sent to a node changes over to the new device once a handshake with that node has succeeded on
it, which proves that it takes in too. So a change of keys loses nothing, though no two nodes change at one moment.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_network

from agent.network.encryption.sealed import Moves, NodeKey, Sealed
from agent.network.netlink.messages import Address, Network, Route
from agent.network.netlink.wireguard import Peer
from agent.network.underlay import next_hop

KEEPALIVE_SECONDS = 25
"""Until the first handshake with a peer: the first empty packet begins it at once."""


@dataclass(frozen=True)
class Tunnel:
    """One device.

    Attributes:
        link: its index.
        key: public.
        peers: what it was told of, by public key.
        met: keys of the peers with which a handshake has ever succeeded.
        received: bytes from all peers.
        name: of the device.
        has_hops: packets are led to the address of a node there, as on the open overlay's device.
        is_spent: its keys are not to be used any more.
        is_guarded: the kernel lets nothing pass at its port but what is encrypted.
    """

    generation: int
    link: int
    key: bytes
    port: int
    mtu: int
    peers: Mapping[bytes, Peer] = field(default_factory=dict)
    met: frozenset[bytes] = frozenset()
    received: int = 0
    name: str = ""
    has_hops: bool = False
    is_spent: bool = False
    is_guarded: bool = True


def device_name(prefix: str, generation: int) -> str:
    """Two names in turn: no more than two generations exist on a node at a time."""
    return f"{prefix}{generation % 2}"


def device_port(first: int, generation: int) -> int:
    """Two ports in turn, the first one and the next."""
    return first + generation % 2


def wanted_peers(sealed: Sealed, tunnel: Tunnel) -> dict[bytes, Peer]:
    """What the device is to be told: every node that has a key of its generation, with all its addresses."""
    allowed: dict[Address, set[Network]] = {}
    for address, node in sealed.places.items():
        allowed.setdefault(node, set()).add(ip_network(address))
    found = {}
    is_newest = tunnel.generation == sealed.generation
    for node, keys in sealed.keys.items():
        if (told := keys.get(tunnel.generation)) is not None and told.key != tunnel.key:
            keepalive = KEEPALIVE_SECONDS if told.key not in tunnel.met and is_newest else 0
            found[told.key] = Peer(told.key, (node, told.port), frozenset(allowed.get(node, ())), keepalive)
    return found


def chosen(sealed: Sealed, tunnels: Collection[Tunnel]) -> dict[Address, Tunnel]:
    """The tunnel that leads to each node: one that it has answered on, then that of the newest keys. Nodes that share
    no generation with us have none."""
    ways = ((node, way_to(node, sealed, tunnels)) for node in sealed.keys)
    return {node: way for node, way in ways if way is not None}


def way_to(node: Address, sealed: Sealed, tunnels: Iterable[Tunnel]) -> Tunnel | None:
    """See `chosen`."""
    keys = sealed.keys.get(node, {})
    able = [each for each in tunnels if each.generation in keys and keys[each.generation].key in each.peers]
    return max(able, key=partial(_worth, sealed.generation, keys), default=None)


def _worth(newest: int, keys: Mapping[int, NodeKey], tunnel: Tunnel) -> tuple[bool, bool, int]:
    return keys[tunnel.generation].key in tunnel.met, tunnel.generation == newest, tunnel.generation


def routes(sealed: Sealed, tunnels: Collection[Tunnel]) -> frozenset[Route]:
    """One for each container's address that can be reached encrypted."""
    return routes_to(sealed.places, sealed, tunnels)


def routes_to(places: Mapping[Address, Address], sealed: Sealed, tunnels: Collection[Tunnel]) -> frozenset[Route]:
    """Those to some addresses, by the nodes that have them."""
    ways = {node: way_to(node, sealed, tunnels) for node in set(places.values())}
    return frozenset(_route(address, node, way) for address, node in places.items() if (way := ways[node]) is not None)


def moved_peers(moves: Moves, sealed: Sealed, tunnel: Tunnel) -> dict[bytes, Peer]:
    """The peers of which addresses go or come, with those that they have afterwards."""
    found = {}
    for node in moves.nodes:
        told = sealed.keys.get(node, {}).get(tunnel.generation)
        if told is not None and (peer := tunnel.peers.get(told.key)) is not None:
            gone, come = (
                frozenset(ip_network(address) for address, place in side.items() if place == node)
                for side in (moves.gone, moves.come)
            )
            found[told.key] = replace(peer, allowed=(peer.allowed - gone) | come)
    return found


def _route(address: Address, node: Address, tunnel: Tunnel) -> Route:
    via = next_hop(node, address.version) if tunnel.has_hops else None
    return Route(ip_network(address), tunnel.link, via)


def superseded(sealed: Sealed, tunnels: Collection[Tunnel]) -> list[Tunnel]:
    """Those that go at once: their name is the new one's, or nothing is to be encrypted any more."""
    return [
        each
        for each in tunnels
        if not sealed.generation
        or (each.generation != sealed.generation and each.generation % 2 == sealed.generation % 2)
    ]


def is_settled(tunnels: Collection[Tunnel]) -> bool:
    """Nothing is to be waited for: every peer has answered, and no older keys are left."""
    return len(tunnels) < 2 and all(each.peers.keys() <= each.met for each in tunnels)


def outdated(sealed: Sealed, tunnels: Collection[Tunnel]) -> list[Tunnel]:
    """Tunnels of older keys that lead to nobody any more. Others may still send on them."""
    used = {each.generation for each in chosen(sealed, tunnels).values()}
    return [each for each in tunnels if each.generation != sealed.generation and each.generation not in used]
