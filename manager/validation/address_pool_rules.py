"""Address pools of the cluster's settings."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

from manager.validation.text_rules import check_range
from shoal.api.v1.cluster_pb2 import AddressPools
from shoal.errors import Fault
from shoal.networks.address_pools import PREFIX_LENGTH

MAX_POOLS = 64
SHORTEST_PREFIX = 8
LONGEST_PREFIX = 29
"""Six addresses, one of them the network's own."""


def check_address_pools(path: str, pools: AddressPools) -> Iterator[Fault]:
    """Every fault: texts that are no networks, networks that overlap or have no room for a subnet."""
    length = pools.prefix_length or PREFIX_LENGTH
    yield from check_range(f"{path}.prefix_length", length, SHORTEST_PREFIX, LONGEST_PREFIX, "bits")
    if len(pools.pools) > MAX_POOLS:
        yield Fault(f"{path}.pools", f"has {len(pools.pools)} entries; the maximum is {MAX_POOLS}")
        return
    found: dict[int, IPv4Network] = {}
    for index, text in enumerate(pools.pools):
        try:
            found[index] = IPv4Network(text)
        except ValueError:
            yield Fault(f"{path}.pools[{index}]", f'"{text[:80]}" must be an IPv4 network, such as 10.0.0.0/8')
    for index, pool in found.items():
        if pool.is_loopback or pool.is_multicast or pool.is_link_local or pool.prefixlen < SHORTEST_PREFIX:
            yield Fault(f"{path}.pools[{index}]", f"{pool} has addresses that networks cannot have")
        elif pool.prefixlen > length:
            yield Fault(f"{path}.pools[{index}]", f"{pool} has no room for a subnet of /{length}")
    for (_, one), (index, other) in combinations(found.items(), 2):
        if one.overlaps(other):
            yield Fault(f"{path}.pools[{index}]", f"{other} overlaps {one}")
