"""What one way of encrypting does for the tunnels: the seam between when (`tunnels.py`) and how."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from agent.network.encryption.generations import Tunnel
from agent.network.names import SEALED_GROUP
from agent.network.netlink import messages
from agent.network.netlink.inventory import Link
from agent.network.netlink.wireguard import Peer
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.errors import Unavailable

LINK_SETTINGS = {messages.DEVCONF_RP_FILTER: 0, messages.DEVCONF_SEND_REDIRECTS: 0}


def set_up(link: int, mtu: int = 0) -> messages.Message:
    """Have a device up, in the group that rules know it by, and of this MTU where one is given."""
    return messages.set_link(link, up=True, mtu=mtu, group=SEALED_GROUP)


def usable_mtu(link: Link) -> int:
    """Of a device that is as `set_up` left it; 0 of one that is to be mended."""
    return link.mtu if link.up and link.group == SEALED_GROUP else 0


class Kind(Protocol):
    """Blocking; for one thread. Everything raises Unavailable when the kernel refuses."""

    key_kind: OverlayKey.Kind.ValueType
    tells_addresses: bool
    """Whether peers are told with the containers' addresses behind them; else routes alone lead there."""

    @property
    def feature(self) -> str:
        """As in `NodeDescription.features`; empty when the kernel lacks it, or it is not to be used."""
        ...

    def close(self) -> None: ...

    def require(self) -> None:
        """Raises Unavailable, with the name of what the kernel lacks."""
        ...

    def found(self, told: Mapping[int, Tunnel]) -> dict[int, Tunnel]:
        """The devices as the kernel has them, by generation; those that are not ours are not there.

        Args:
            told: what is known of them.
        """
        ...

    def make(self, generation: int, mtu: int) -> Tunnel:
        """A device with a new key, in the place of one that was there. Nothing is left when the kernel refuses it."""
        ...

    def delete(self, generations: Iterable[int]) -> None:
        """With all that belongs to them; those that are not there are passed over."""
        ...

    def mend(self, tunnel: Tunnel, mtu: int) -> None:
        """Have the device up, of this MTU, in its group, and guarded."""
        ...

    def admits(self, tunnel: Tunnel, wanted: Mapping[bytes, Peer]) -> bool:
        """Whether the tunnel's key can be used with all of these."""
        ...

    def add(self, tunnels: Collection[tuple[Tunnel, Mapping[bytes, Peer]]]) -> None:
        """New peers of each, and those of which something differs."""
        ...

    def remove(self, tunnels: Collection[tuple[Tunnel, Mapping[bytes, Peer]]]) -> None:
        """Peers that are gone, and what a peer has no more."""
        ...

    def knock(self, tunnel: Tunnel) -> None:
        """Send each peer something, by which it knows that we have its key."""
        ...


def refused(name: str, port: int, error: Exception) -> Unavailable:
    """That a device could not be made."""
    return Unavailable(f"the tunnel {name} cannot be had at UDP port {port}: {error}")
