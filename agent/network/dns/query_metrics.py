"""Queries that the DNS resolver was asked, by how they ended.

Codes are of the protocol alone: names are what containers ask for, and have no end.
"""

import time
from collections.abc import Callable

from shoal.metrics.instruments import Counter, Histogram

_QUERIES = Counter("shoal_dns_queries", "Queries of containers, by transport and result.", ("transport", "result"))
_SECONDS = Histogram(
    "shoal_dns_query_seconds",
    "Duration of answering a query, by who answered.",
    ("source",),
    bounds=(0.00001, 0.000025, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0),
)
DROPPED = "dropped"
_CODES = {0: "noerror", 1: "formerr", 2: "servfail", 3: "nxdomain", 4: "notimp", 5: "refused"}
_HEADER_BYTES = 12


def result_of(answer: bytes | None) -> str:
    """The answer's code (RFC 1035, 4.1.1) as a label; `dropped` where none is sent."""
    if answer is None or len(answer) < _HEADER_BYTES:
        return DROPPED
    return _CODES.get(answer[3] & 0x0F, "other")


class QueryMetrics:
    """Counts the queries of one transport, "udp" or "tcp"."""

    def __init__(self, transport: str, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._transport = transport
        self.clock = clock

    def answered(self, answer: bytes | None, began: float, *, forwarded: bool = False) -> None:
        """One query, whose answer took since `began`, of `clock`."""
        _QUERIES.add(self._transport, result_of(answer))
        _SECONDS.observe(self.clock() - began, "upstream" if forwarded else "zone")
