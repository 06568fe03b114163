"""Measures the transfer rate of a download and detects when it is too slow."""

from collections.abc import Callable

from shoal.distribution.retry_policy import RetryPolicy


class TransferRate:
    """Counts the time spent waiting for the registry, not the time of disk writes."""

    def __init__(self, policy: RetryPolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._since = clock()
        self._seconds = 0.0
        self._count = 0

    def start_waiting(self) -> None:
        """Start waiting for the next bytes."""
        self._since = self._clock()

    def is_fast_enough(self, count: int) -> bool:
        """Count received bytes. Returns False if the recent rate is too low."""
        self._seconds += self._clock() - self._since
        self._count += count
        if self._seconds < self._policy.pace_seconds:
            return True
        enough = self._count >= self._seconds * self._policy.min_bytes_per_second
        self._seconds, self._count = 0.0, 0
        return enough
