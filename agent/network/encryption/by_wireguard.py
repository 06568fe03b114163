"""Tunnels by WireGuard: devices, keys and peers."""

import os
import re
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from agent.network.encryption.changes import STALE_SECONDS, additions, removals
from agent.network.encryption.generations import Tunnel, device_name, device_port
from agent.network.encryption.kinds import LINK_SETTINGS, refused, set_up, usable_mtu
from agent.network.names import WIREGUARD_PREFIX
from agent.network.netlink import inventory, messages, wireguard
from agent.network.netlink.connection import Connection
from agent.network.netlink.inventory import Link
from agent.network.netlink.messages import Message
from agent.network.netlink.wireguard import Peer, PeerState
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.errors import Unavailable
from shoal.overlay_encryption import WIREGUARD

_LACKING = (
    "this kernel lacks WireGuard (CONFIG_WIREGUARD): load the module wireguard, or esp4 and xfrm_user for IPsec ESP in "
    "its place, or take a kernel that has one of them"
)
_ALIAS = re.compile(r"keys of generation (\d+)")

Told = Collection[tuple[Tunnel, Mapping[bytes, Peer]]]


class ByWireGuard:
    """A `Kind`. A private key is made here, handed to the kernel and forgotten: it lies nowhere else, and lives as long
    as the device.

    Args:
        connection: of rtnetlink; stays the caller's.
        first_port: UDP; the next one is used too.
        now: seconds since the Unix epoch.
    """

    key_kind = OverlayKey.WIREGUARD
    tells_addresses = True

    def __init__(self, *, connection: Connection, first_port: int, now: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._generic = Connection(wireguard.GENERIC)
        self._first_port = first_port
        self._now = now
        self._family = wireguard.family(self._generic)

    @property
    def feature(self) -> str:
        """See `Kind`."""
        return "" if self._family is None else WIREGUARD

    def close(self) -> None:
        """See `Kind`."""
        self._generic.close()

    def require(self) -> None:
        """See `Kind`. The kernel is asked again where it had none: its module may have come."""
        self._family = self._family if self._family is not None else wireguard.family(self._generic)
        if self._family is None:
            raise Unavailable(_LACKING)

    @property
    def _number(self) -> int:
        return self._family or 0

    def found(self, told: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
        """See `Kind`."""
        found = {}
        for link in inventory.links(self._connection):
            match = _ALIAS.fullmatch(link.alias)
            if match and link.name.startswith(WIREGUARD_PREFIX):
                self.require()
                generation = int(match[1])
                found[generation] = self._read(generation, link, told.get(generation))
        return found

    def _read(self, generation: int, link: Link, told: Tunnel | None) -> Tunnel:
        device = wireguard.device(self._generic, self._number, link.index)
        known = told.peers if told is not None else {}
        return Tunnel(
            generation,
            link.index,
            device.key,
            device.port,
            usable_mtu(link),
            {key: self._as_told(state, known.get(key)) for key, state in device.peers.items()},
            frozenset(key for key, state in device.peers.items() if state.handshake),
            sum(state.received for state in device.peers.values()),
            link.name,
        )

    def _as_told(self, state: PeerState, told: Peer | None) -> Peer:
        """A peer is spoken to where it was last heard; where it was told to be counts again once it is silent."""
        if told is None or self._now() - state.handshake > STALE_SECONDS:
            return state.peer
        return Peer(state.peer.key, told.endpoint, state.peer.allowed, state.peer.keepalive_seconds)

    def make(self, generation: int, mtu: int) -> Tunnel:
        """See `Kind`."""
        name, port = device_name(WIREGUARD_PREFIX, generation), device_port(self._first_port, generation)
        self._connection.apply([messages.delete_link(name), wireguard.add_device(name, mtu)])
        link = socket.if_nametoindex(name)
        try:
            self._generic.apply([wireguard.set_device(self._number, link, os.urandom(wireguard.KEY_BYTES), port)])
            alias = f"keys of generation {generation}"
            self._connection.apply([messages.set_link(link, alias=alias, ipv4=LINK_SETTINGS), set_up(link)])
        except Unavailable as error:
            self._connection.apply([messages.delete_link(name)])
            raise refused(name, port, error) from error
        key = wireguard.device(self._generic, self._number, link).key
        return Tunnel(generation, link, key, port, mtu, name=name)

    def delete(self, generations: Iterable[int]) -> None:
        """See `Kind`."""
        names = [device_name(WIREGUARD_PREFIX, generation) for generation in generations]
        self._connection.apply(map(messages.delete_link, names))

    def mend(self, tunnel: Tunnel, mtu: int) -> None:
        """See `Kind`."""
        if tunnel.mtu != mtu:
            self._connection.apply([set_up(tunnel.link, mtu)])

    def admits(self, tunnel: Tunnel, wanted: Mapping[bytes, Peer]) -> bool:
        """See `Kind`: sessions' own keys are WireGuard's matter."""
        return True

    def add(self, tunnels: Told) -> None:
        """See `Kind`."""
        self._generic.apply(self._told(additions, tunnels))

    def remove(self, tunnels: Told) -> None:
        """See `Kind`."""
        self._generic.apply(self._told(removals, tunnels))

    def _told(
        self, change: Callable[[int, Tunnel, Mapping[bytes, Peer]], Iterable[Message]], tunnels: Told
    ) -> list[Message]:
        return [message for tunnel, wanted in tunnels for message in change(self._number, tunnel, wanted)]

    def knock(self, tunnel: Tunnel) -> None:
        """See `Kind`: WireGuard does it by itself, while a peer is told with `keepalive_seconds`."""
