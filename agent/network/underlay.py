"""The network that carries the overlay, as this host has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from agent.network.netlink.inventory import Link
from shoal.errors import InvalidInput

VXLAN_OVERHEAD = 50
"""Bytes around an inner packet over IPv4: outer Ethernet counts not, IP 20, UDP 8, VXLAN 8, inner Ethernet 14."""
SMALLEST_MTU = 576 + VXLAN_OVERHEAD
"""Of the underlay, bytes: what is left is the least that every host of IPv4 takes (RFC 791)."""


@dataclass(frozen=True)
class Underlay:
    """This node's place on the underlay.

    Attributes:
        link: index of the interface that has the address.
        mtu: of that interface, bytes.
    """

    address: IPv4Address
    link: int
    mtu: int

    @property
    def overlay_mtu(self) -> int:
        """What is left for a packet of a container, bytes."""
        return self.mtu - VXLAN_OVERHEAD

    @property
    def vtep_mac(self) -> str:
        return vtep_mac(self.address)


def vtep_mac(address: IPv4Address) -> str:
    """The tunnel endpoint's MAC address: locally administered, made of the underlay address, so the same every time."""
    return "02:56:" + address.packed.hex(":")


def find_underlay(address: IPv4Address, addresses: Mapping[IPv4Address, int], links: Sequence[Link]) -> Underlay:
    """The interface that has the address.

    Raises:
        InvalidInput: none has, or its MTU is too small for an overlay.
    """
    index = addresses.get(address)
    link = next((link for link in links if link.index == index), None)
    if link is None:
        known = ", ".join(map(str, addresses)) or "none"
        raise InvalidInput(f"no interface of this host has the address {address}; it has {known}")
    if link.mtu < SMALLEST_MTU:
        raise InvalidInput(
            f"the interface {link.name} has an MTU of {link.mtu}: the overlay needs {SMALLEST_MTU} or more"
        )
    return Underlay(address, link.index, link.mtu)
