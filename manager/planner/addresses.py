"""Subnets of networks and addresses in them, as plain numbers. IPv4 so far."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from shoal.api.v1.network_pb2 import NetworkSpec

POOL = ipaddress.IPv4Network("10.0.0.0/8")
PREFIX_LENGTH = 24
BLOCK_LENGTH = 19
"""A network that may grow has room for 8,190 tasks, and the pool room for 2,048 such networks."""


@dataclass(frozen=True)
class Subnet:
    """The addresses that tasks may have: all but the network's own, the first one (.1) and the broadcast address.

    Attributes:
        first: lowest address given out unasked; last: the highest, included.
        excluded: addresses between them that are not given out unasked.
    """

    first: int
    last: int
    excluded: frozenset[int] = frozenset()

    @staticmethod
    def parse(cidr: str) -> "Subnet":
        """Raises ValueError when it is not an IPv4 network."""
        network = ipaddress.IPv4Network(cidr)
        return Subnet(int(network.network_address) + 2, int(network.broadcast_address) - 1)

    @staticmethod
    def of(cidr: str, spec: NetworkSpec, excluded: Iterable[int] = ()) -> "Subnet":
        """As the network's spec narrows it: the range, the gateway and what is kept back. The spec is a valid one."""
        whole = Subnet.parse(cidr)
        kept = {number(address) for address in (spec.gateway, *spec.reserved.values()) if address}
        if not spec.ip_range:
            return Subnet(whole.first, whole.last, frozenset(kept.union(excluded)))
        narrow = ipaddress.IPv4Network(spec.ip_range)
        first = max(whole.first, int(narrow.network_address))
        last = min(whole.last, int(narrow.broadcast_address))
        return Subnet(first, last, frozenset(kept.union(excluded)))

    @property
    def size(self) -> int:
        """How many addresses can be given out unasked."""
        held = sum(self.first <= address <= self.last for address in self.excluded)
        return max(0, self.last - self.first + 1 - held)


def number(address: str) -> int:
    """The 32 bits of a dotted quad that was checked or written by this module, so unchecked."""
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

    def is_exhausted(self, subnet: Subnet) -> bool:
        """Whether no address is free."""
        return len(self.used) + len(subnet.excluded) > subnet.last - subnet.first and self.next_free(subnet) is None

    def next_free(self, subnet: Subnet) -> int | None:
        """The address to give out next, or None when all are in use."""
        used, excluded, following = self.used, subnet.excluded, self.hand + 1
        if subnet.first <= following <= subnet.last and following not in used and following not in excluded:
            return following
        taken = used | excluded if excluded else used
        if len(taken) > subnet.last - subnet.first and taken.issuperset(range(subnet.first, subnet.last + 1)):
            return None
        start = max(subnet.first, min(following, subnet.last + 1))
        order = chain(range(start, subnet.last + 1), range(subnet.first, start))
        return next((address for address in order if address not in taken), None)


def free_subnet(taken: Iterable[ipaddress.IPv4Network], length: int = PREFIX_LENGTH) -> ipaddress.IPv4Network | None:
    """The lowest part of the pool of this prefix length that is disjoint from those taken; None without one."""
    step = 1 << 32 - length
    candidate = int(POOL.network_address)
    for low, high in sorted((int(net.network_address), int(net.broadcast_address)) for net in taken):
        if low >= candidate + step:
            break
        candidate = max(candidate, (high // step + 1) * step)
    if candidate > int(POOL.broadcast_address):
        return None
    return ipaddress.IPv4Network((candidate, length))


def widened(subnet: str, block: str, others: Iterable[str]) -> str | None:
    """The subnet twice as wide, within its block and disjoint from the others; None where it cannot grow."""
    if not block or subnet == block:
        return None
    wider = ipaddress.IPv4Network(subnet).supernet()
    if any(wider.overlaps(ipaddress.IPv4Network(other)) for other in others):
        return None
    return str(wider)
