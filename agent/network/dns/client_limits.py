"""Per-client limits of the resolver, so that no client starves the others. Pure, but for the clock."""

from collections.abc import Callable
from dataclasses import dataclass

CACHED_COST, UNCACHED_COST, FORWARD_COST = 1.0, 8.0, 8.0
"""Of an answer that is kept, of one that is to be made, and of a question that is handed on besides: what their
processor time is to each other."""


class Shares:
    """Places that askers take and give back, none of which may have more than are left free.

    So one asker alone has half of them at most, two have two thirds together, and whoever comes next finds some free
    (dynamic thresholds: Choudhury and Hahne, 1998).

    Args:
        total: places.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._used: dict[str, int] = {}

    @property
    def in_use(self) -> int:
        return sum(self._used.values())

    def acquire(self, client: str) -> bool:
        """Take a place, if the asker may have one more; who took one gives it back."""
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
    """What each asker may have answered, in questions that are known; a bucket of tokens each.

    Args:
        per_second: also the most at once.
        clock: seconds.
        max_clients: that are remembered. All are forgotten when there are more, which are more than a node has.
    """

    def __init__(self, *, per_second: float, clock: Callable[[], float], max_clients: int = 8192) -> None:
        self._per_second = per_second
        self._clock = clock
        self._max_clients = max_clients
        self._buckets: dict[str, _Bucket] = {}

    def spend(self, client: str, cost: float) -> bool:
        """Whether the asker has so much left; then it has less."""
        bucket = self._refilled(client)
        if bucket.tokens < cost:
            return False
        bucket.tokens -= cost
        return True

    def charge(self, client: str, cost: float) -> bool:
        """The same of what is done in any case, and waited for afterwards: true."""
        self._refilled(client).tokens -= cost
        return True

    def debt_seconds(self, client: str) -> float:
        """How long until the asker owes nothing."""
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
