"""Addresses and networks of both IP versions."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

AF_INET, AF_INET6 = 2, 10
"""Of Linux, as they are in messages (socket.h)."""


def family_of(address: Address | Network) -> int:
    """The address family."""
    return AF_INET if address.version == 4 else AF_INET6
