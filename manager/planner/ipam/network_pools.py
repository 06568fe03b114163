"""Where networks without a subnet of their own get one: the address pools of the cluster's settings."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import chain

from manager.planner.ipam.address_ranges import AddressRange, free_ranges, range_of
from manager.planner.ipam.ipv4_addresses import SUPERNET_LENGTH
from shoal.api.v1.cluster_pb2 import AddressPools, ClusterSettings
from shoal.networks.address_pools import pools_in_force


@dataclass(frozen=True)
class NetworkPools:
    """The pools that new networks get their subnets from.

    Attributes:
        pools: the first is used first. prefix_length: of a network's subnet, before it grows.
    """

    pools: Sequence[IPv4Network]
    prefix_length: int

    @staticmethod
    def of(settings: ClusterSettings | None) -> "NetworkPools":
        """Those in force; the usual ones where nothing is set. What is set was checked before."""
        found = pools_in_force(settings.address_pools if settings is not None else AddressPools())
        return NetworkPools(tuple(map(IPv4Network, found.pools)), found.prefix_length)

    @property
    def supernet_length(self) -> int:
        """Of the range that a network may fill."""
        return min(SUPERNET_LENGTH, self.prefix_length)

    def supernets(self, taken: Iterable[AddressRange]) -> Iterator[AddressRange]:
        """Ranges that networks may fill, disjoint from those in use. A pool that is smaller has none."""
        return self._free(taken, self.supernet_length)

    def subnets(self, taken: Iterable[AddressRange]) -> Iterator[AddressRange]:
        """Subnets disjoint from those in use."""
        return self._free(taken, self.prefix_length)

    def _free(self, taken: Iterable[AddressRange], length: int) -> Iterator[AddressRange]:
        used, size = tuple(taken), 1 << 32 - length
        return chain.from_iterable(free_ranges(range_of(pool), used, size) for pool in self.pools)
