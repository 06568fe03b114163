"""This node's underlay address, interface and MTUs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from agent.network.ip_types import Address
from agent.network.netlink.rtnetlink_dump import Link
from agent.network.well_known import NODE_PREFIX6
from shoal.errors import InvalidInput
from shoal.networks.vtep import vtep_mac, vtep_number

_OVERHEAD = {4: 50, 6: 70}
"""Bytes around an inner packet by the underlay's IP: its header (20 or 40), UDP 8, VXLAN 8, inner Ethernet 14."""
_WIREGUARD_OVERHEAD = {4: 60, 6: 80}
"""The same for WireGuard: IP, UDP 8, its header and tag 32. Packets are padded to 16 bytes, but never beyond this."""
_ESP_OVERHEAD = {4: 84, 6: 104}
"""The same for VXLAN in ESP with AES-GCM (RFC 4303, RFC 4106): VXLAN's, and header 8, vector 8, trailer 2, tag 16."""
_ESP_PADDING = 4
"""Bytes that packets in ESP are padded to a multiple of."""
_MIN_MTU_IPV4 = 576
"""Bytes of a packet that every IPv4 host accepts (RFC 791), and that the overlay must carry at least."""
MIN_MTU_IPV6 = 1280
"""A link with a smaller MTU carries no IPv6 (RFC 8200, 5)."""


@dataclass(frozen=True)
class Underlay:
    """This node's address and interface on the underlay.

    Attributes:
        link: index of the interface that has the address.
        mtu: of that interface, bytes.
    """

    address: Address
    link: int
    mtu: int

    @property
    def overlay_mtu(self) -> int:
        """MTU of containers' packets, bytes."""
        return self.mtu - _OVERHEAD[self.address.version]

    @property
    def wireguard_mtu(self) -> int:
        """MTU of containers' packets through WireGuard, bytes."""
        return self._encrypted_mtu(self.mtu - _WIREGUARD_OVERHEAD[self.address.version])

    @property
    def esp_mtu(self) -> int:
        """MTU of containers' packets through ESP, bytes."""
        available = self.mtu - _ESP_OVERHEAD[self.address.version]
        return self._encrypted_mtu(available - available % _ESP_PADDING)

    def _encrypted_mtu(self, available: int) -> int:
        """At least IPv6's minimum where the plain overlay has that: the outer packets are then fragmented."""
        return max(available, MIN_MTU_IPV6) if self.overlay_mtu >= MIN_MTU_IPV6 else available

    @property
    def vtep_mac(self) -> str:
        return vtep_mac(self.address)


def overlay_address(address: Address) -> IPv4Address:
    """The IPv4 address inside the overlay of the node with this underlay address: the same, where that is IPv4.

    Otherwise an unassigned one (240.0.0.0/4, RFC 1112, 4). Only containers that reply to it see it.
    """
    return address if isinstance(address, IPv4Address) else IPv4Address(0xF << 28 | vtep_number(address) >> 4)


@lru_cache(maxsize=4096)
def overlay_address6(address: Address) -> IPv6Address:
    """The IPv6 address inside the overlay of the node with this underlay address."""
    return NODE_PREFIX6[vtep_number(address)]


def next_hop(peer: Address, version: int) -> Address:
    """The next hop to a container on the node with this underlay address, for packets of that IP version."""
    return peer if peer.version == version == 4 else overlay_address6(peer)


def min_underlay_mtu(address: Address) -> int:
    """The smallest MTU of the interface of an underlay address, bytes."""
    return _MIN_MTU_IPV4 + _OVERHEAD[address.version]


def find_underlay(address: Address, addresses: Mapping[Address, int], links: Sequence[Link]) -> Underlay:
    """The interface that has the address.

    Raises:
        InvalidInput: no interface has it, or its MTU is too small for an overlay.
    """
    index = addresses.get(address)
    link = next((link for link in links if link.index == index), None)
    if link is None:
        known = ", ".join(map(str, addresses)) or "none"
        raise InvalidInput(f"no interface of this host has the address {address}; its addresses are {known}")
    if link.mtu < (minimum := min_underlay_mtu(address)):
        raise InvalidInput(f"the MTU of interface {link.name} is too small ({link.mtu}); the minimum is {minimum}")
    return Underlay(address, link.index, link.mtu)
