"""IPv6 subnets of networks and addresses in them, as plain numbers. None is enumerated: it may have 2^64."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from manager.planner.ipam.address_ranges import AddressRange, free_ranges, range_of
from manager.planner.ipam.ipv4_addresses import AllocatableRange
from shoal.api.v1.network_pb2 import NetworkSpec

PREFIX_LENGTH = 64
_MAX_ASSIGNED = 1 << 32
"""How many addresses of a subnet are assigned without a request: the lowest, so that they stay short."""
_POOL_SUFFIX = "/6"


def ipv6_pool(network_id: str) -> str:
    """The name of the pool of a network's IPv6 addresses; that of IPv4 has the network's id as its name."""
    return network_id + _POOL_SUFFIX


def is_ipv6_pool(pool: str) -> bool:
    return pool.endswith(_POOL_SUFFIX)


def pool_network(pool: str) -> str:
    """The id of the network that a pool is of."""
    return pool.removesuffix(_POOL_SUFFIX)


def ipv6_number(address: str) -> int:
    """The 128 bits of an address that was checked or written by this module."""
    beginning, _, ending = address.rpartition(":")
    if not ending or "." in ending:
        return int(IPv6Address(address))
    return _bits(beginning) << _GROUP | int(ending, 16)


def ipv6_text(address: int) -> str:
    """As RFC 5952 writes it."""
    last = address & (1 << _GROUP) - 1
    return f"{_prefix_text(address >> _GROUP)}{last:x}" if last else str(IPv6Address(address))


_GROUP = 16
"""Bits. The last group is parsed and formatted apart: the addresses of a batch of tasks have few beginnings."""


@lru_cache(maxsize=4_096)
def _bits(beginning: str) -> int:
    return int(IPv6Address(f"{beginning}:1")) >> _GROUP


@lru_cache(maxsize=4_096)
def _prefix_text(bits: int) -> str:
    # Whatever the last group is, as long as it is not 0, the same zeros are compressed.
    return str(IPv6Address(bits << _GROUP | 1))[:-1]


def allocatable_ipv6(cidr: str, spec: NetworkSpec, excluded: Iterable[int] = ()) -> AllocatableRange:
    """The addresses of an IPv6 subnet that tasks may have, as the network's spec limits it: all but the first two."""
    whole = IPv6Network(cidr)
    first, last = int(whole[0]) + 2, int(whole[-1])
    if spec.ip_range6:
        narrow = IPv6Network(spec.ip_range6)
        first, last = max(first, int(narrow[0])), min(last, int(narrow[-1]))
    kept = {ipv6_number(address) for address in (spec.gateway6, *spec.aux_addresses6.values()) if address}
    return AllocatableRange(
        first, min(last, first - first % _MAX_ASSIGNED + _MAX_ASSIGNED - 1), frozenset(kept.union(excluded))
    )


def cluster_prefix(cluster_id: str) -> IPv6Network:
    """The cluster's own prefix (RFC 4193, 3.1 and 3.2.2): 40 bits of a digest of its id, which is random itself."""
    digest = hashlib.sha256(b"shoal: IPv6 prefix of the cluster " + cluster_id.encode()).digest()
    return IPv6Network((bytes([0xFD]) + digest[:5] + bytes(10), 48))


def free_ipv6_subnets(prefix: IPv6Network, taken: Iterable[AddressRange]) -> Iterator[IPv6Network]:
    """Each /64 of the prefix that is disjoint from those in use, the lowest first. The very first stays free."""
    size = 1 << 128 - PREFIX_LENGTH
    first, last = range_of(prefix)
    return (IPv6Network((first, PREFIX_LENGTH)) for first, _ in free_ranges((first + size, last), taken, size))
