"""Ranges of addresses as plain numbers, of either family: which are in use, and which are free."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

Span = tuple[int, int]
"""The first and the last address."""


@lru_cache(maxsize=1 << 16)
def span(cidr: str) -> Span | None:
    """Of an IPv4 prefix or address; None when the text is neither."""
    try:
        return span_of(IPv4Network(cidr))
    except ValueError:
        return None


@lru_cache(maxsize=1 << 16)
def span6(cidr: str) -> Span | None:
    """Of an IPv6 prefix or address; None when the text is neither."""
    try:
        return span_of(IPv6Network(cidr))
    except ValueError:
        return None


def span_of(network: IPv4Network | IPv6Network) -> Span:
    """All of it."""
    return int(network.network_address), int(network.broadcast_address)


class Spans:
    """Ranges in use; they may overlap each other."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._disjoint: list[Span] = []
        last = -1
        for begin, end in sorted(spans):
            if end <= last:
                continue
            self._disjoint.append((max(begin, last + 1), end))
            last = end

    def meet(self, wanted: Span) -> bool:
        """Whether one of them overlaps that range."""
        after = bisect_right(self._disjoint, wanted)
        return any(
            begin <= wanted[1] and wanted[0] <= end for begin, end in self._disjoint[max(0, after - 1) : after + 1]
        )

    def add(self, span: Span) -> None:
        """One more, which meets none of them."""
        insort(self._disjoint, span)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._disjoint)


def free_spans(whole: Span, taken: Iterable[Span], size: int) -> Iterator[Span]:
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
