"""Addresses of the node's own pool, for containers without a network."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network

from shoal.errors import Exhausted


def next_address(pool: IPv4Network, used: Collection[IPv4Address], last: IPv4Address | None) -> IPv4Address:
    """A free address, after the last one given, so that one that was just freed rests as long as possible.

    Raises:
        Exhausted: every address is used.
    """
    first, count = int(pool.network_address) + 1, pool.num_addresses - 2
    start = int(last) + 1 - first if last is not None and last in pool else 0
    taken = {int(address) for address in used}
    for step in range(count):
        candidate = first + (start + step) % count
        if candidate not in taken:
            return IPv4Address(candidate)
    raise Exhausted(f"all {count} addresses of {pool}, for containers without a network, are used on this node")
