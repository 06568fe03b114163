"""The driver interface of encrypted tunnels: WireGuard and ESP implement it."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from agent.network.encryption.key_generations import Tunnel
from agent.network.netlink import rtnetlink
from agent.network.netlink.rtnetlink_dump import Link
from agent.network.netlink.wireguard import TunnelPeer
from agent.network.well_known import ENCRYPTED_GROUP
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.errors import Unavailable

LINK_SETTINGS = {rtnetlink.DEVCONF_RP_FILTER: 0, rtnetlink.DEVCONF_SEND_REDIRECTS: 0}


def set_up(link: int, mtu: int = 0) -> rtnetlink.Message:
    """Have a device up, in the group that rules know it by, and of this MTU where one is given."""
    return rtnetlink.set_link(link, up=True, mtu=mtu, group=ENCRYPTED_GROUP)


def usable_mtu(link: Link) -> int:
    """Of a device that is as `set_up` left it; 0 of one that is to be mended."""
    return link.mtu if link.up and link.group == ENCRYPTED_GROUP else 0


class TunnelDriver(Protocol):
    """Blocking; for one thread. Everything raises Unavailable when the kernel refuses."""

    key_kind: OverlayKey.Kind.ValueType
    uses_allowed_ips: bool
    """Whether peers are told with the containers' addresses behind them; else routes alone lead there."""

    @property
    def feature(self) -> str:
        """As in `NodeDescription.features`; empty when the kernel lacks it, or it is not to be used."""
        ...

    def close(self) -> None: ...

    def require(self) -> None:
        """Raises Unavailable, with the name of what the kernel lacks."""
        ...

    def list_tunnels(self, known: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
        """The devices as the kernel has them, by generation; those that are not ours are not there.

        Args:
            known: what is known of them.
        """
        ...

    def create(self, generation: int, mtu: int) -> Tunnel:
        """A device with a new key, in the place of one that was there. Nothing is left when the kernel refuses it."""
        ...

    def delete(self, generations: Iterable[int]) -> None:
        """With all that belongs to them; those that are not there are passed over."""
        ...

    def repair(self, tunnel: Tunnel, mtu: int) -> None:
        """Have the device up, of this MTU, in its group, and guarded."""
        ...

    def can_add(self, tunnel: Tunnel, peers: Mapping[bytes, TunnelPeer]) -> bool:
        """Whether the tunnel's key can be used with all of these."""
        ...

    def add_peers(self, tunnels: Collection[tuple[Tunnel, Mapping[bytes, TunnelPeer]]]) -> None:
        """New peers of each, and those of which something differs."""
        ...

    def remove_peers(self, tunnels: Collection[tuple[Tunnel, Mapping[bytes, TunnelPeer]]]) -> None:
        """Peers that are gone, and what a peer has no more."""
        ...

    def send_probe(self, tunnel: Tunnel) -> None:
        """Send each peer something, by which it knows that we have its key."""
        ...


def creation_error(name: str, port: int, error: Exception) -> Unavailable:
    """That a device could not be made."""
    return Unavailable(f"cannot create tunnel {name} on UDP port {port}: {error}")
