"""This node's underlay address, interface and MTUs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from agent.network.netlink.rtnetlink import Address
from agent.network.netlink.rtnetlink_dump import Link
from agent.network.well_known import NODE_PREFIX6
from shoal.errors import InvalidInput
from shoal.networks.vtep import vtep_mac, vtep_number

_OVERHEAD = {4: 50, 6: 70}
"""Bytes around an inner packet by the underlay's IP: its header (20 or 40), UDP 8, VXLAN 8, inner Ethernet 14."""
_WIREGUARD_OVERHEAD = {4: 60, 6: 80}
"""The same of WireGuard: IP, UDP 8, its header and tag 32. Packets are filled up to 16 bytes, but never beyond this."""
_ESP_OVERHEAD = {4: 84, 6: 104}
"""The same of VXLAN in ESP with AES-GCM (RFC 4303, RFC 4106): VXLAN's, and header 8, vector 8, trailer 2, tag 16."""
_ESP_PADDING = 4
"""Bytes that packets in ESP are filled up to."""
_MIN_MTU_IPV4 = 576
"""What every host of IPv4 takes (RFC 791): bytes of a packet that the overlay must at least let through."""
MIN_MTU_IPV6 = 1280
"""Below this a link carries no IPv6 (RFC 8200, 5)."""


@dataclass(frozen=True)
class Underlay:
    """This node's place on the underlay.

    Attributes:
        link: index of the interface that has the address.
        mtu: of that interface, bytes.
    """

    address: Address
    link: int
    mtu: int

    @property
    def overlay_mtu(self) -> int:
        """What is left for a packet of a container, bytes."""
        return self.mtu - _OVERHEAD[self.address.version]

    @property
    def wireguard_mtu(self) -> int:
        """What is left for a packet of a container by WireGuard, bytes."""
        return self._encrypted_mtu(self.mtu - _WIREGUARD_OVERHEAD[self.address.version])

    @property
    def esp_mtu(self) -> int:
        """What is left for a packet of a container by ESP, bytes."""
        available = self.mtu - _ESP_OVERHEAD[self.address.version]
        return self._encrypted_mtu(available - available % _ESP_PADDING)

    def _encrypted_mtu(self, available: int) -> int:
        """Never less than IPv6 needs where the open overlay has that: packets around such ones are then fragmented."""
        return max(available, MIN_MTU_IPV6) if self.overlay_mtu >= MIN_MTU_IPV6 else available

    @property
    def vtep_mac(self) -> str:
        return vtep_mac(self.address)


def overlay_address(address: Address) -> IPv4Address:
    """The IPv4 address inside the overlay of the node with this underlay address: the same, where it is of IPv4.

    Else it is one that nobody has (240.0.0.0/4, RFC 1112, 4). Only containers that answer it see it.
    """
    return address if isinstance(address, IPv4Address) else IPv4Address(0xF << 28 | vtep_number(address) >> 4)


@lru_cache(maxsize=4096)
def overlay_address6(address: Address) -> IPv6Address:
    """The IPv6 address inside the overlay of the node with this underlay address."""
    return NODE_PREFIX6[vtep_number(address)]


def next_hop(peer: Address, version: int) -> Address:
    """To a container on the node with this underlay address, for packets of that version of IP."""
    return peer if peer.version == version == 4 else overlay_address6(peer)


def min_underlay_mtu(address: Address) -> int:
    """Of the interface of an underlay address, bytes."""
    return _MIN_MTU_IPV4 + _OVERHEAD[address.version]


def find_underlay(address: Address, addresses: Mapping[Address, int], links: Sequence[Link]) -> Underlay:
    """The interface that has the address.

    Raises:
        InvalidInput: none has, or its MTU is too small for an overlay.
    """
    index = addresses.get(address)
    link = next((link for link in links if link.index == index), None)
    if link is None:
        known = ", ".join(map(str, addresses)) or "none"
        raise InvalidInput(f"no interface of this host has the address {address}; its addresses are {known}")
    if link.mtu < (least := min_underlay_mtu(address)):
        raise InvalidInput(f"the interface {link.name} has an MTU of {link.mtu}: the overlay needs {least} or more")
    return Underlay(address, link.index, link.mtu)
