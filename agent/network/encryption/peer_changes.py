"""Peer updates and differences of a WireGuard device. Pure."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping

from agent.network.encryption.key_generations import Tunnel
from agent.network.netlink.rtnetlink import Message
from agent.network.netlink.wireguard import TunnelPeer, add_peer, remove_peer

STALE_SECONDS = 180
"""A WireGuard session ends after this time without a handshake (REJECT_AFTER_TIME of its paper, section 6.1)."""


def peer_additions(family: int, tunnel: Tunnel, desired: Mapping[bytes, TunnelPeer]) -> Iterator[Message]:
    """Requests for new and changed peers. An address that moves is taken from its old peer atomically."""
    for key, peer in desired.items():
        known = tunnel.peers.get(key)
        if known is None:
            yield from add_peer(family, tunnel.link, peer)
            continue
        missing = peer.allowed_ips - known.allowed_ips
        unchanged = (peer.endpoint, peer.keepalive_seconds) == (known.endpoint, known.keepalive_seconds)
        if missing or not unchanged:
            endpoint = None if peer.endpoint == known.endpoint else peer.endpoint
            yield from add_peer(family, tunnel.link, TunnelPeer(key, endpoint, missing, peer.keepalive_seconds))


def peer_removals(
    family: int,
    tunnel: Tunnel,
    desired: Mapping[bytes, TunnelPeer],
    new_key: Callable[[], bytes] = lambda: os.urandom(32),
) -> Iterator[Message]:
    """Requests that remove peers, and addresses that a peer no longer has.

    WireGuard removes a peer's addresses only all at once, which would interrupt the others: so they are moved to a
    placeholder peer, which is then removed.
    """
    for key in tunnel.peers.keys() - desired.keys():
        yield remove_peer(family, tunnel.link, key)
    desired_ips = {address for peer in desired.values() for address in peer.allowed_ips}
    stale = {
        address
        for key, peer in tunnel.peers.items()
        if key in desired
        for address in peer.allowed_ips - desired[key].allowed_ips
        if address not in desired_ips
    }
    if stale:
        placeholder = new_key()
        yield from add_peer(family, tunnel.link, TunnelPeer(placeholder, None, frozenset(stale)))
        yield remove_peer(family, tunnel.link, placeholder)


def tunnel_differences(expected: Collection[Tunnel], found: Collection[Tunnel]) -> list[str]:
    """How the kernel's devices differ from the expected ones, one line each. Endpoints may change: a node replies to
    the address that it receives packets from."""
    actual = {each.generation: each for each in found}
    lines = []
    for tunnel in expected:
        now = actual.get(tunnel.generation)
        if now is None or (now.key, now.port) != (tunnel.key, tunnel.port):
            lines.append(f"tunnel {tunnel.name} was missing, or its key or port was changed")
        elif now.needs_rekey:
            lines.append(f"tunnel {tunnel.name} had lost security associations")
        elif not now.has_policies:
            lines.append(f"the IPsec policies of tunnel {tunnel.name} were missing")
        elif _allowed_ips(now) != _allowed_ips(tunnel):
            lines.append(f"the peers of tunnel {tunnel.name} were changed")
        elif now.mtu != tunnel.mtu:
            lines.append(f"tunnel {tunnel.name} was down, or its MTU or group was changed")
    return lines


def intact_tunnels(expected: Mapping[int, Tunnel], found: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
    """The devices whose key no other program has changed: another program's key is not secret."""
    return {
        generation: tunnel
        for generation, tunnel in found.items()
        if not tunnel.needs_rekey
        and ((known := expected.get(generation)) is None or (known.key, known.port) == (tunnel.key, tunnel.port))
    }


def _allowed_ips(tunnel: Tunnel) -> Mapping[bytes, object]:
    return {key: peer.allowed_ips for key, peer in tunnel.peers.items()}
