"""MAC addresses of tunnel endpoints, derived from the nodes' underlay addresses. Pure."""

import hashlib
from ipaddress import IPv4Address, IPv6Address


def vtep_number(address: IPv4Address | IPv6Address) -> int:
    """32 bits that tell nodes apart: the address of IPv4, or a digest of that of IPv6."""
    if isinstance(address, IPv4Address):
        return int(address)
    return int.from_bytes(hashlib.blake2s(address.packed, digest_size=4).digest(), "big")


def vtep_mac(address: IPv4Address | IPv6Address) -> str:
    """The tunnel endpoint's MAC address: locally administered, made of the underlay address, so the same every time."""
    return "02:56:" + vtep_number(address).to_bytes(4, "big").hex(":")
