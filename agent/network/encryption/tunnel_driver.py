"""The driver interface of encrypted tunnels: WireGuard and ESP implement it."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from agent.network.encryption.key_generations import Tunnel
from agent.network.netlink.wireguard import TunnelPeer
from shoal.api.v1.node_pb2 import OverlayKey

PeerUpdates = Collection[tuple[Tunnel, Mapping[bytes, TunnelPeer]]]
"""Tunnels with the peers that each should have."""


class TunnelDriver(Protocol):
    """Blocking; for one thread. Everything raises Unavailable when the kernel refuses."""

    key_kind: OverlayKey.Kind.ValueType
    uses_allowed_ips: bool
    """Whether peers are configured with the container addresses behind them; otherwise routes suffice."""

    @property
    def feature(self) -> str:
        """As in `NodeDescription.features`; empty when the kernel lacks it."""
        ...

    def close(self) -> None: ...

    def require(self) -> None:
        """Raises Unavailable, naming the missing feature, when the kernel lacks one."""
        ...

    def list_tunnels(self, known: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
        """Our devices as the kernel has them, by generation.

        Args:
            known: the devices as they were configured.
        """
        ...

    def create(self, generation: int, mtu: int) -> Tunnel:
        """Create a device with a new key, replacing an earlier one. Nothing is left when the kernel refuses it."""
        ...

    def delete(self, generations: Iterable[int]) -> None:
        """Delete devices with everything that belongs to them; missing ones are ignored."""
        ...

    def repair(self, tunnel: Tunnel, mtu: int) -> None:
        """Set the device up, with this MTU, in its group, and with its policies."""
        ...

    def can_add(self, tunnel: Tunnel, peers: Mapping[bytes, TunnelPeer]) -> bool:
        """Whether the tunnel's key can be used with all of these."""
        ...

    def add_peers(self, tunnels: PeerUpdates) -> None:
        """Add new peers of each tunnel, and update changed ones."""
        ...

    def remove_peers(self, tunnels: PeerUpdates) -> None:
        """Remove peers, and what a peer no longer has."""
        ...

    def send_probe(self, tunnel: Tunnel) -> None:
        """Send each peer a packet, which proves that this node has its key."""
        ...
