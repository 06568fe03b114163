"""Per-client limits of the resolver, so that no client starves the others. Pure, but for the clock."""

from collections.abc import Callable
from dataclasses import dataclass

CACHED_COST, UNCACHED_COST, FORWARD_COST = 1.0, 8.0, 8.0
"""Of a cached answer, of one that is computed, and in addition of a query that is forwarded: in proportion to their
processor time."""


class Shares:
    """Slots that clients acquire and release, of which no client may hold more than are free.

    So a single client has half of them at most, two have two thirds together, and a further one finds some free
    (dynamic thresholds: Choudhury and Hahne, 1998).

    Args:
        total: number of slots.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._used: dict[str, int] = {}

    @property
    def in_use(self) -> int:
        return sum(self._used.values())

    def acquire(self, client: str) -> bool:
        """Acquire a slot, if the client may have one more; release it afterwards."""
        own = self._used.get(client, 0)
        if own >= self._free:
            return False
        self._used[client] = own + 1
        self._free -= 1
        return True

    def release(self, client: str) -> None:
        self._free += 1
        self._used[client] -= 1
        if not self._used[client]:
            del self._used[client]


@dataclass
class _Bucket:
    tokens: float
    at: float


class Allowance:
    """A token bucket for each client; a cached answer costs one token.

    Args:
        per_second: tokens; also the size of the bucket.
        clock: seconds.
        max_clients: buckets that are kept. All are cleared when there are more, which is more than a node has.
    """

    def __init__(self, *, per_second: float, clock: Callable[[], float], max_clients: int = 8192) -> None:
        self._per_second = per_second
        self._clock = clock
        self._max_clients = max_clients
        self._buckets: dict[str, _Bucket] = {}

    def spend(self, client: str, cost: float) -> bool:
        """Spend tokens if the client has enough; whether it had."""
        bucket = self._refilled(client)
        if bucket.tokens < cost:
            return False
        bucket.tokens -= cost
        return True

    def charge(self, client: str, cost: float) -> bool:
        """Spend tokens in any case, so that the client has to wait afterwards; always true."""
        self._refilled(client).tokens -= cost
        return True

    def debt_seconds(self, client: str) -> float:
        """How long until the client's balance is not negative."""
        return max(0.0, -self._refilled(client).tokens) / self._per_second

    def _refilled(self, client: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(client)
        if bucket is None:
            if len(self._buckets) >= self._max_clients:
                self._buckets.clear()
            bucket = self._buckets[client] = _Bucket(self._per_second, now)
        bucket.tokens = min(self._per_second, bucket.tokens + (now - bucket.at) * self._per_second)
        bucket.at = now
        return bucket
