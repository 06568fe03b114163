"""Ranges of addresses of either family as plain numbers: which are in use, and which are free."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

AddressRange = tuple[int, int]
"""The first and the last address."""


@lru_cache(maxsize=1 << 16)
def parse_range(cidr: str) -> AddressRange | None:
    """Of an IPv4 prefix or address; None when the text is neither."""
    try:
        return range_of(IPv4Network(cidr))
    except ValueError:
        return None


@lru_cache(maxsize=1 << 16)
def parse_range6(cidr: str) -> AddressRange | None:
    """Of an IPv6 prefix or address; None when the text is neither."""
    try:
        return range_of(IPv6Network(cidr))
    except ValueError:
        return None


def range_of(network: IPv4Network | IPv6Network) -> AddressRange:
    """All of it."""
    return int(network.network_address), int(network.broadcast_address)


class RangeSet:
    """Ranges in use; they may overlap each other."""

    def __init__(self, ranges: Iterable[AddressRange] = ()) -> None:
        self._disjoint: list[AddressRange] = []
        last = -1
        for begin, end in sorted(ranges):
            if end <= last:
                continue
            self._disjoint.append((max(begin, last + 1), end))
            last = end

    def overlaps(self, other: AddressRange) -> bool:
        """Whether one of them overlaps that range."""
        after = bisect_right(self._disjoint, other)
        return any(
            begin <= other[1] and other[0] <= end for begin, end in self._disjoint[max(0, after - 1) : after + 1]
        )

    def add(self, added: AddressRange) -> None:
        """Add a range that overlaps none of them."""
        insort(self._disjoint, added)

    def __iter__(self) -> Iterator[AddressRange]:
        return iter(self._disjoint)


def free_ranges(whole: AddressRange, taken: Iterable[AddressRange], size: int) -> Iterator[AddressRange]:
    """Parts of this size, the lowest first, that are disjoint from those in use and from each other.

    Args:
        whole: the range to divide; it begins and ends where a part could.
        size: a power of two.
    """
    first, last = whole
    for begin, end in [*sorted(taken), (last + 1, last + 1)]:
        while first + size <= min(begin, last + 1):
            yield first, first + size - 1
            first += size
        first = max(first, (end // size + 1) * size)
