"""What the host routes besides us."""

import logging
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import TypeVar

from agent.network.netlink import inventory
from agent.network.netlink.connection import Connection
from agent.network.netlink.messages import Network

log = logging.getLogger(__name__)

_MOST_OF_A_FAMILY = 32
AnyNetwork = TypeVar("AnyNetwork", IPv4Network, IPv6Network)


def host_prefixes(connection: Connection) -> list[Network]:
    """All but the default routes and link-local ones: the widest of each family, at most 64 in all."""
    others = set(inventory.all_routes(connection)) - set(inventory.own_routes(connection))
    found = [route.destination for route in others if route.destination.prefixlen]
    ipv4 = (prefix for prefix in found if isinstance(prefix, IPv4Network))
    ipv6 = (prefix for prefix in found if isinstance(prefix, IPv6Network) and not prefix.is_link_local)
    return [*_widest(collapse_addresses(ipv4)), *_widest(collapse_addresses(ipv6))]


def _widest(prefixes: Iterable[AnyNetwork]) -> list[AnyNetwork]:
    return sorted(prefixes, key=lambda prefix: (prefix.prefixlen, int(prefix.network_address)))[:_MOST_OF_A_FAMILY]


def warn_of_overlap(pool: IPv4Network, prefixes: Iterable[Network]) -> None:
    """Tell in the log where the node's own pool hides what the host routes."""
    for prefix in prefixes:
        if isinstance(prefix, IPv4Network) and prefix.overlaps(pool):
            log.warning(
                "The pool %s of containers without a network overlaps the host's route to %s: set another", pool, prefix
            )
