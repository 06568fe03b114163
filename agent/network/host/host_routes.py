"""Addresses that the host reaches on its own: routes that are not ours, and name servers."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TypeVar

from agent.network.ip_types import Address, Network
from agent.network.netlink import rtnetlink_dump
from agent.network.netlink.connection import Connection

MAX_PREFIXES_PER_FAMILY = 128
"""Of a host with more, a router, the widest ones are reported."""
AnyNetwork = TypeVar("AnyNetwork", IPv4Network, IPv6Network)


def host_prefixes(connection: Connection, name_servers: Iterable[Address]) -> list[Network]:
    """All except default and link-local routes, of any table: the widest of each family, in a fixed order.

    Args:
        name_servers: of the host. A network over the address of one, which the default route leads to, would leave the
            host without names.
    """
    routes = [prefix for prefix in rtnetlink_dump.foreign_routes(connection) if prefix.prefixlen]
    return widest([*routes, *server_prefixes(name_servers)])


def server_prefixes(name_servers: Iterable[Address]) -> list[Network]:
    """Each of them that is not on the host itself. Pure."""
    return [ip_network(each) for each in name_servers if not each.is_loopback and not each.is_unspecified]


def widest(prefixes: Iterable[Network]) -> list[Network]:
    """At most `MAX_PREFIXES_PER_FAMILY` of each family; prefixes inside another one are left out. Pure."""
    found = [prefix for prefix in prefixes if not prefix.is_link_local]
    ipv4 = (prefix for prefix in found if isinstance(prefix, IPv4Network))
    ipv6 = (prefix for prefix in found if isinstance(prefix, IPv6Network))
    return [*_widest(collapse_addresses(ipv4)), *_widest(collapse_addresses(ipv6))]


def _widest(prefixes: Iterable[AnyNetwork]) -> list[AnyNetwork]:
    return sorted(prefixes, key=lambda prefix: (prefix.prefixlen, int(prefix.network_address)))[
        :MAX_PREFIXES_PER_FAMILY
    ]
