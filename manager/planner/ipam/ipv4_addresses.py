"""IPv4 subnets of networks and the addresses in them, as plain numbers. IPv6: `addresses6`."""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, filterfalse

from manager.planner.ipam.address_ranges import parse_range
from shoal.api.v1.network_pb2 import NetworkSpec

DEFAULT_POOL = ipaddress.IPv4Network("10.0.0.0/8")
PREFIX_LENGTH = 24
SUPERNET_LENGTH = 19
"""A network that may grow has room for 8,190 tasks, and the pool room for 2,048 such networks."""


@dataclass(frozen=True)
class AllocatableRange:
    """The addresses that tasks may have: all but the network's own, the first one (.1) and the broadcast address.

    Attributes:
        first: lowest address given out unasked; last: the highest, included.
        excluded: addresses between them that are not given out unasked.
    """

    first: int
    last: int
    excluded: frozenset[int] = frozenset()

    @staticmethod
    def parse(cidr: str) -> "AllocatableRange":
        """Raises ValueError when it is not an IPv4 network."""
        whole = parse_range(cidr)
        if whole is None:
            raise ValueError(f"{cidr!r} is not an IPv4 network")
        return AllocatableRange(whole[0] + 2, whole[1] - 1)

    @staticmethod
    def of(cidr: str, spec: NetworkSpec, excluded: Iterable[int] = ()) -> "AllocatableRange":
        """As the network's spec narrows it: the range, the gateway and what is kept back. The spec is a valid one."""
        whole = AllocatableRange.parse(cidr)
        kept = {ipv4_number(address) for address in (spec.gateway, *spec.aux_addresses.values()) if address}
        first, last = (parse_range(spec.ip_range) if spec.ip_range else None) or (whole.first, whole.last)
        return AllocatableRange(max(whole.first, first), min(whole.last, last), frozenset(kept.union(excluded)))

    @property
    def size(self) -> int:
        """How many addresses can be given out unasked."""
        held = sum(self.first <= address <= self.last for address in self.excluded)
        return max(0, self.last - self.first + 1 - held)


def ipv4_number(address: str) -> int:
    """The 32 bits of a dotted quad that was checked or written by this module, so unchecked."""
    a, b, c, d = address.split(".")
    return int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)


def ipv4_text(address: int) -> str:
    """The dotted quad of 32 bits."""
    return _prefix_text(address >> 8) + _OCTETS[address & 255]


_OCTETS = tuple(map(str, range(256)))


@lru_cache(maxsize=4_096)
def _prefix_text(bits: int) -> str:
    """What the dotted quads with the same 24 bits begin with: a batch of tasks has few of them."""
    return f"{bits >> 16}.{bits >> 8 & 255}.{bits & 255}."


class AddressUsage:
    """Addresses in use on one network, and the hand: the newest one given out.

    The next one is looked for after the hand, so that an address that has just become free rests the longest.
    """

    __slots__ = ("cursor", "cursor_at_ms", "used")

    def __init__(self) -> None:
        self.used: set[int] = set()
        self.cursor = 0
        self.cursor_at_ms = 0

    def add(self, address: int, at_ms: int) -> None:
        """A task that was made at that time has the address."""
        self.used.add(address)
        newest = self.cursor_at_ms
        if at_ms > newest or (at_ms == newest and address > self.cursor):
            self.cursor, self.cursor_at_ms = address, at_ms

    def free(self, subnet: AllocatableRange) -> Iterator[int]:
        """The free addresses, in the order in which they are given out. What is taken meanwhile is left out."""
        start = max(subnet.first, min(self.cursor + 1, subnet.last + 1))
        order = chain(range(start, subnet.last + 1), range(subnet.first, start))
        return filterfalse(subnet.excluded.__contains__, self.unused(order)) if subnet.excluded else self.unused(order)

    def unused(self, addresses: Iterable[int]) -> Iterator[int]:
        """Those that are not in use by the time that they are asked for."""
        return filterfalse(self.used.__contains__, addresses)
