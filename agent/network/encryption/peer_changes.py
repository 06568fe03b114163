"""Peer updates and differences of a WireGuard device. Pure."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping

from agent.network.encryption.key_generations import Tunnel
from agent.network.netlink.rtnetlink import Message
from agent.network.netlink.wireguard import TunnelPeer, add_peer, remove_peer

STALE_SECONDS = 180
"""A session of WireGuard ends after this time without a handshake (REJECT_AFTER_TIME of its paper, section 6.1)."""


def peer_additions(family: int, tunnel: Tunnel, desired: Mapping[bytes, TunnelPeer]) -> Iterator[Message]:
    """New peers, and those of which something differs. An address that moves is taken from its old peer in one step."""
    for key, peer in desired.items():
        known = tunnel.peers.get(key)
        if known is None:
            yield from add_peer(family, tunnel.link, peer)
            continue
        missing = peer.allowed_ips - known.allowed_ips
        same = (peer.endpoint, peer.keepalive_seconds) == (known.endpoint, known.keepalive_seconds)
        if missing or not same:
            endpoint = None if peer.endpoint == known.endpoint else peer.endpoint
            yield from add_peer(family, tunnel.link, TunnelPeer(key, endpoint, missing, peer.keepalive_seconds))


def peer_removals(
    family: int,
    tunnel: Tunnel,
    desired: Mapping[bytes, TunnelPeer],
    new_key: Callable[[], bytes] = lambda: os.urandom(32),
) -> Iterator[Message]:
    """Peers that are gone, and addresses that a peer has no more.

    WireGuard takes addresses away only all at once, which would interrupt the others of the peer: so they are moved to
    a peer that nobody is, which is then removed.
    """
    for key in tunnel.peers.keys() - desired.keys():
        yield remove_peer(family, tunnel.link, key)
    held = {address for peer in desired.values() for address in peer.allowed_ips}
    stale = {
        address
        for key, peer in tunnel.peers.items()
        if key in desired
        for address in peer.allowed_ips - desired[key].allowed_ips
        if address not in held
    }
    if stale:
        placeholder = new_key()
        yield from add_peer(family, tunnel.link, TunnelPeer(placeholder, None, frozenset(stale)))
        yield remove_peer(family, tunnel.link, placeholder)


def tunnel_differences(expected: Collection[Tunnel], found: Collection[Tunnel]) -> list[str]:
    """How the kernel's devices are not as they were left, in a line each. Endpoints may change: nodes answer to where
    they are spoken to from."""
    present = {each.generation: each for each in found}
    lines = []
    for tunnel in expected:
        now = present.get(tunnel.generation)
        if now is None or (now.key, now.port) != (tunnel.key, tunnel.port):
            lines.append(f"the tunnel {tunnel.name} was missing or had another key or port")
        elif now.needs_rekey:
            lines.append(f"the tunnel {tunnel.name} had lost keys of sessions")
        elif not now.has_policies:
            lines.append(f"the policies of the tunnel {tunnel.name} were missing")
        elif _allowed_ips(now) != _allowed_ips(tunnel):
            lines.append(f"peers of the tunnel {tunnel.name} differed")
        elif now.mtu != tunnel.mtu:
            lines.append(f"the tunnel {tunnel.name} was down, or had another MTU or group")
    return lines


def intact_tunnels(expected: Mapping[int, Tunnel], found: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
    """Of the devices found, those whose key nobody has changed: with another's key there is no secret any more."""
    return {
        generation: tunnel
        for generation, tunnel in found.items()
        if not tunnel.needs_rekey
        and ((known := expected.get(generation)) is None or (known.key, known.port) == (tunnel.key, tunnel.port))
    }


def _allowed_ips(tunnel: Tunnel) -> Mapping[bytes, object]:
    return {key: peer.allowed_ips for key, peer in tunnel.peers.items()}
