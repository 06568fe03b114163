"""The way from what a device was told to what it is to know. Pure."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping

from agent.network.encryption.generations import Tunnel
from agent.network.netlink.messages import Message
from agent.network.netlink.wireguard import Peer, add_peer, remove_peer

STALE_SECONDS = 180
"""A session of WireGuard ends after this time without a handshake (REJECT_AFTER_TIME of its paper, section 6.1)."""


def additions(family: int, tunnel: Tunnel, wanted: Mapping[bytes, Peer]) -> Iterator[Message]:
    """New peers, and those of which something differs. An address that moves is taken from its old peer in one step."""
    for key, peer in wanted.items():
        told = tunnel.peers.get(key)
        if told is None:
            yield from add_peer(family, tunnel.link, peer)
            continue
        missing = peer.allowed - told.allowed
        same = (peer.endpoint, peer.keepalive_seconds) == (told.endpoint, told.keepalive_seconds)
        if missing or not same:
            endpoint = None if peer.endpoint == told.endpoint else peer.endpoint
            yield from add_peer(family, tunnel.link, Peer(key, endpoint, missing, peer.keepalive_seconds))


def removals(
    family: int, tunnel: Tunnel, wanted: Mapping[bytes, Peer], new_key: Callable[[], bytes] = lambda: os.urandom(32)
) -> Iterator[Message]:
    """Peers that are gone, and addresses that a peer has no more.

    WireGuard takes addresses away only all at once, which would interrupt the others of the peer: so they are moved to
    a peer that nobody is, which is then removed.
    """
    for key in tunnel.peers.keys() - wanted.keys():
        yield remove_peer(family, tunnel.link, key)
    held = {address for peer in wanted.values() for address in peer.allowed}
    stale = {
        address
        for key, peer in tunnel.peers.items()
        if key in wanted
        for address in peer.allowed - wanted[key].allowed
        if address not in held
    }
    if stale:
        nobody = new_key()
        yield from add_peer(family, tunnel.link, Peer(nobody, None, frozenset(stale)))
        yield remove_peer(family, tunnel.link, nobody)


def differences(told: Collection[Tunnel], found: Collection[Tunnel]) -> list[str]:
    """How the kernel's devices are not as they were left, in a line each. Endpoints may change: nodes answer to where
    they are spoken to from."""
    present = {each.generation: each for each in found}
    wrong = []
    for tunnel in told:
        now = present.get(tunnel.generation)
        if now is None or (now.key, now.port) != (tunnel.key, tunnel.port):
            wrong.append(f"the tunnel {tunnel.name} was missing or had another key or port")
        elif now.is_spent:
            wrong.append(f"the tunnel {tunnel.name} had lost keys of sessions")
        elif not now.is_guarded:
            wrong.append(f"the policies of the tunnel {tunnel.name} were missing")
        elif _addresses(now) != _addresses(tunnel):
            wrong.append(f"peers of the tunnel {tunnel.name} differed")
        elif now.mtu != tunnel.mtu:
            wrong.append(f"the tunnel {tunnel.name} was down, or had another MTU or group")
    return wrong


def sound(told: Mapping[int, Tunnel], found: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
    """Of the devices found, those whose key nobody has changed: with another's key there is no secret any more."""
    return {
        generation: tunnel
        for generation, tunnel in found.items()
        if not tunnel.is_spent
        and ((known := told.get(generation)) is None or (known.key, known.port) == (tunnel.key, tunnel.port))
    }


def _addresses(tunnel: Tunnel) -> Mapping[bytes, object]:
    return {key: peer.allowed for key, peer in tunnel.peers.items()}
