"""Reachability of an address, and whether a registry may redirect clients to it. Pure.

IANA special-purpose address registries (RFC 6890) as `ipaddress` knows them, and the addresses at which clouds give out
credentials of the machine.
"""

import ipaddress
from enum import Enum

_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


class Reach(Enum):
    """Who can be reached at an address."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    FORBIDDEN = "reserved"


_ALLOWED: dict[Reach, frozenset[Reach]] = {
    Reach.PUBLIC: frozenset({Reach.PUBLIC}),
    Reach.PRIVATE: frozenset({Reach.PUBLIC, Reach.PRIVATE}),
    Reach.LOOPBACK: frozenset({Reach.PUBLIC, Reach.PRIVATE, Reach.LOOPBACK}),
    Reach.LINK_LOCAL: frozenset({Reach.PUBLIC, Reach.LINK_LOCAL}),
    Reach.FORBIDDEN: frozenset({Reach.PUBLIC}),
}


def may_redirect(own: Reach, target: Reach) -> bool:
    """Whether a registry at `own` may send a client to `target`: never to where only the client's side can go."""
    return target in _ALLOWED[own]


def reach_of(address: str) -> Reach:
    """Of an IP address; an IPv4 address inside an IPv6 one counts as what it is.

    Raises:
        ValueError: not an IP address.
    """
    return _reach(ipaddress.ip_address(address))


def literal_reach(host: str) -> Reach | None:
    """Of a host that is an IP address or `localhost`; None for any other name."""
    if host == "localhost" or host.endswith(".localhost"):
        return Reach.LOOPBACK
    try:
        return reach_of(host.strip("[]"))
    except ValueError:
        return None


def _reach(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Reach:
    if isinstance(address, ipaddress.IPv6Address) and (inner := _embedded(address)) is not None:
        return _reach(inner)
    if address in _METADATA or address.is_multicast or str(address) == "255.255.255.255":
        return Reach.FORBIDDEN
    if address.is_loopback or address.is_unspecified or str(address).startswith("0."):
        return Reach.LOOPBACK
    if address.is_link_local:
        return Reach.LINK_LOCAL
    public = address.is_global and (address.version == 4 or address in _GLOBAL_UNICAST)
    return Reach.PUBLIC if public else Reach.PRIVATE


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a mapping, a translator (RFC 6052) or a tunnel (RFC 3056) leads to."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
