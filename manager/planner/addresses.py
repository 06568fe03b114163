"""Subnets of networks and addresses in them, as plain numbers. IPv4 so far."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

POOL = ipaddress.IPv4Network("10.0.0.0/8")
PREFIX_LENGTH = 24


@dataclass(frozen=True)
class Subnet:
    """The addresses that tasks may have: all but the network's own, the gateway's (.1) and the broadcast address."""

    first: int
    last: int

    @staticmethod
    def parse(cidr: str) -> "Subnet":
        """Raises ValueError when it is not an IPv4 network."""
        network = ipaddress.IPv4Network(cidr)
        return Subnet(int(network.network_address) + 2, int(network.broadcast_address) - 1)


def number(address: str) -> int:
    """The 32 bits of a dotted quad that this module wrote itself, so unchecked."""
    a, b, c, d = address.split(".")
    return int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)


def dotted(address: int) -> str:
    """The dotted quad of 32 bits."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


class Pool:
    """Addresses in use on one network, and the hand: the newest one given out.

    The next one is looked for after the hand, so that an address that has just become free rests the longest.
    """

    __slots__ = ("hand", "hand_at_ms", "used")

    def __init__(self) -> None:
        self.used: set[int] = set()
        self.hand = 0
        self.hand_at_ms = 0

    def add(self, address: int, at_ms: int) -> None:
        """A task that was made at that time has the address."""
        self.used.add(address)
        if (at_ms, address) > (self.hand_at_ms, self.hand):
            self.hand, self.hand_at_ms = address, at_ms

    def next_free(self, subnet: Subnet) -> int | None:
        """The address to give out next, or None when all are in use."""
        if len(self.used) > subnet.last - subnet.first and self.used.issuperset(range(subnet.first, subnet.last + 1)):
            return None
        start = max(subnet.first, min(self.hand + 1, subnet.last + 1))
        order = chain(range(start, subnet.last + 1), range(subnet.first, start))
        return next((address for address in order if address not in self.used), None)


def free_subnet(taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network | None:
    """The lowest /24 of the pool that is disjoint from those taken, or None when there is none."""
    step = 1 << 32 - PREFIX_LENGTH
    candidate = int(POOL.network_address)
    for low, high in sorted((int(net.network_address), int(net.broadcast_address)) for net in taken):
        if low >= candidate + step:
            break
        candidate = max(candidate, (high // step + 1) * step)
    if candidate > int(POOL.broadcast_address):
        return None
    return ipaddress.IPv4Network((candidate, PREFIX_LENGTH))
