"""Ranges of addresses as plain numbers, of either family: which are in use, and which are free."""

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

    def __init__(self, spans: Iterable[AddressRange] = ()) -> None:
        self._disjoint: list[AddressRange] = []
        last = -1
        for begin, end in sorted(spans):
            if end <= last:
                continue
            self._disjoint.append((max(begin, last + 1), end))
            last = end

    def overlaps(self, wanted: AddressRange) -> bool:
        """Whether one of them overlaps that range."""
        after = bisect_right(self._disjoint, wanted)
        return any(
            begin <= wanted[1] and wanted[0] <= end for begin, end in self._disjoint[max(0, after - 1) : after + 1]
        )

    def add(self, span: AddressRange) -> None:
        """One more, which meets none of them."""
        insort(self._disjoint, span)

    def __iter__(self) -> Iterator[AddressRange]:
        return iter(self._disjoint)


def free_ranges(whole: AddressRange, taken: Iterable[AddressRange], size: int) -> Iterator[AddressRange]:
    """Parts of this size, the lowest first, that are disjoint from those taken and from each other.

    Args:
        whole: of which they are parts; it begins and ends where a part could.
        size: a power of two.
    """
    first, last = whole
    for begin, end in [*sorted(taken), (last + 1, last + 1)]:
        while first + size <= min(begin, last + 1):
            yield first, first + size - 1
            first += size
        first = max(first, (end // size + 1) * size)
