"""The WireGuard driver: devices, keys and peers."""

import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping

from agent.network.encryption.key_generations import Tunnel, device_name, device_port
from agent.network.encryption.peer_changes import STALE_SECONDS, peer_additions, peer_removals
from agent.network.encryption.tunnel_driver import PeerUpdates
from agent.network.encryption.tunnel_links import LINK_SETTINGS, creation_error, set_up, usable_mtu
from agent.network.netlink import rtnetlink, rtnetlink_dump, wireguard
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import Message
from agent.network.netlink.rtnetlink_dump import Link
from agent.network.netlink.wireguard import PeerState, TunnelPeer
from agent.network.well_known import WIREGUARD_PREFIX
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.errors import Unavailable
from shoal.networks.overlay_encryption import WIREGUARD

_UNSUPPORTED = (
    "the kernel does not support WireGuard (CONFIG_WIREGUARD): load the module wireguard, "
    "load esp4 and xfrm_user to use IPsec ESP, or use a kernel that has one of them"
)
_ALIAS = re.compile(r"keys of generation (\d+)")


class WireGuardDriver:
    """A `TunnelDriver`. A private key is created here, passed to the kernel and dropped: it is stored nowhere else, and
    exists as long as the device.

    Args:
        connection: rtnetlink; the caller closes it.
        first_port: UDP; the following port is used too.
        now: seconds since the Unix epoch.
    """

    key_kind = OverlayKey.WIREGUARD
    uses_allowed_ips = True

    def __init__(self, *, connection: Connection, first_port: int, now: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._generic = Connection(wireguard.GENERIC)
        self._first_port = first_port
        self._now = now
        self._family = wireguard.family(self._generic)

    @property
    def feature(self) -> str:
        """See `TunnelDriver`."""
        return "" if self._family is None else WIREGUARD

    def close(self) -> None:
        """See `TunnelDriver`."""
        self._generic.close()

    def require(self) -> None:
        """See `TunnelDriver`. Checks again where the kernel lacked it: the module may have been loaded."""
        self._family = self._family if self._family is not None else wireguard.family(self._generic)
        if self._family is None:
            raise Unavailable(_UNSUPPORTED)

    @property
    def _family_id(self) -> int:
        return self._family or 0

    def list_tunnels(self, known: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
        """See `TunnelDriver`."""
        found = {}
        for link in rtnetlink_dump.links(self._connection):
            match = _ALIAS.fullmatch(link.alias)
            if match and link.name.startswith(WIREGUARD_PREFIX):
                self.require()
                generation = int(match[1])
                found[generation] = self._read_tunnel(generation, link, known.get(generation))
        return found

    def _read_tunnel(self, generation: int, link: Link, known_tunnel: Tunnel | None) -> Tunnel:
        device = wireguard.device(self._generic, self._family_id, link.index)
        known = known_tunnel.peers if known_tunnel is not None else {}
        return Tunnel(
            generation,
            link.index,
            device.key,
            device.port,
            usable_mtu(link),
            {key: self._with_known_endpoint(state, known.get(key)) for key, state in device.peers.items()},
            frozenset(key for key, state in device.peers.items() if state.handshake),
            sum(state.received for state in device.peers.values()),
            link.name,
        )

    def _with_known_endpoint(self, state: PeerState, known: TunnelPeer | None) -> TunnelPeer:
        """WireGuard sends to where it last heard a peer; the configured endpoint counts again once that is silent."""
        if known is None or self._now() - state.handshake > STALE_SECONDS:
            return state.peer
        return TunnelPeer(state.peer.key, known.endpoint, state.peer.allowed_ips, state.peer.keepalive_seconds)

    def create(self, generation: int, mtu: int) -> Tunnel:
        """See `TunnelDriver`."""
        name, port = device_name(WIREGUARD_PREFIX, generation), device_port(self._first_port, generation)
        self._connection.apply([rtnetlink.delete_link(name), wireguard.add_device(name, mtu)])
        link = socket.if_nametoindex(name)
        try:
            self._generic.apply([wireguard.set_device(self._family_id, link, os.urandom(wireguard.KEY_BYTES), port)])
            alias = f"keys of generation {generation}"
            self._connection.apply([rtnetlink.set_link(link, alias=alias, ipv4=LINK_SETTINGS), set_up(link)])
        except Unavailable as error:
            self._connection.apply([rtnetlink.delete_link(name)])
            raise creation_error(name, port, error) from error
        key = wireguard.device(self._generic, self._family_id, link).key
        return Tunnel(generation, link, key, port, mtu, name=name)

    def delete(self, generations: Iterable[int]) -> None:
        """See `TunnelDriver`."""
        names = [device_name(WIREGUARD_PREFIX, generation) for generation in generations]
        self._connection.apply(map(rtnetlink.delete_link, names))

    def repair(self, tunnel: Tunnel, mtu: int) -> None:
        """See `TunnelDriver`."""
        if tunnel.mtu != mtu:
            self._connection.apply([set_up(tunnel.link, mtu)])

    def can_add(self, tunnel: Tunnel, peers: Mapping[bytes, TunnelPeer]) -> bool:
        """See `TunnelDriver`: WireGuard manages session keys itself."""
        return True

    def add_peers(self, tunnels: PeerUpdates) -> None:
        """See `TunnelDriver`."""
        self._generic.apply(self._peer_messages(peer_additions, tunnels))

    def remove_peers(self, tunnels: PeerUpdates) -> None:
        """See `TunnelDriver`."""
        self._generic.apply(self._peer_messages(peer_removals, tunnels))

    def _peer_messages(
        self, change: Callable[[int, Tunnel, Mapping[bytes, TunnelPeer]], Iterable[Message]], tunnels: PeerUpdates
    ) -> list[Message]:
        return [message for tunnel, desired in tunnels for message in change(self._family_id, tunnel, desired)]

    def send_probe(self, tunnel: Tunnel) -> None:
        """See `TunnelDriver`: WireGuard does it itself, for a peer with `keepalive_seconds`."""
