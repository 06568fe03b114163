"""IPv4 subnets of networks and the addresses in them, as plain numbers. IPv6: `ipv6_addresses`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, filterfalse

from manager.planner.ipam.address_ranges import parse_range
from shoal.api.v1.network_pb2 import NetworkSpec

SUPERNET_LENGTH = 19
"""A network that may grow has room for 8,190 tasks, and the pool room for 2,048 such networks."""


@dataclass(frozen=True)
class AllocatableRange:
    """The addresses that tasks may have: all but the network's own, the first one (.1) and the broadcast address.

    Attributes:
        first: the lowest address that is assigned unless requested; last: the highest, included.
        excluded: addresses between them that are assigned on request only.
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
        """As the network's spec limits it: the range, the gateway and reserved addresses. The spec is valid."""
        whole = AllocatableRange.parse(cidr)
        kept = {ipv4_number(address) for address in (spec.gateway, *spec.aux_addresses.values()) if address}
        first, last = (parse_range(spec.ip_range) if spec.ip_range else None) or (whole.first, whole.last)
        return AllocatableRange(max(whole.first, first), min(whole.last, last), frozenset(kept.union(excluded)))

    @property
    def size(self) -> int:
        """How many addresses can be assigned without a request."""
        excluded = sum(self.first <= address <= self.last for address in self.excluded)
        return max(0, self.last - self.first + 1 - excluded)


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
    """The beginning of dotted quads with the same 24 bits: a batch of tasks has few of them."""
    return f"{bits >> 16}.{bits >> 8 & 255}.{bits & 255}."


class AddressUsage:
    """Addresses in use on one network, and the cursor: the newest one assigned.

    The next one is searched after the cursor, so that an address that has just been freed is reused last.
    """

    __slots__ = ("cursor", "cursor_at_ms", "used")

    def __init__(self) -> None:
        self.used: set[int] = set()
        self.cursor = 0
        self.cursor_at_ms = 0

    def add(self, address: int, at_ms: int) -> None:
        """A task that was created at that time has the address."""
        self.used.add(address)
        newest = self.cursor_at_ms
        if at_ms > newest or (at_ms == newest and address > self.cursor):
            self.cursor, self.cursor_at_ms = address, at_ms

    def free(self, subnet: AllocatableRange) -> Iterator[int]:
        """The free addresses, in the order in which they are assigned. Those that are used meanwhile are skipped."""
        start = max(subnet.first, min(self.cursor + 1, subnet.last + 1))
        order = chain(range(start, subnet.last + 1), range(subnet.first, start))
        return filterfalse(subnet.excluded.__contains__, self.unused(order)) if subnet.excluded else self.unused(order)

    def unused(self, addresses: Iterable[int]) -> Iterator[int]:
        """Those that are not in use when the iterator reaches them."""
        return filterfalse(self.used.__contains__, addresses)
