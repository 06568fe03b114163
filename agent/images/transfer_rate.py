"""How fast a layer comes in, and when that is too slow."""

from collections.abc import Callable

from shoal.distribution.retry_policy import RetryPolicy


class TransferRate:
    """Counts the seconds that the registry is waited for, not those that the disk takes."""

    def __init__(self, policy: RetryPolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._since = clock()
        self._seconds = 0.0
        self._count = 0

    def start_waiting(self) -> None:
        """The next bytes are waited for from now on."""
        self._since = self._clock()

    def is_fast_enough(self, count: int) -> bool:
        """So many bytes came. False: too few of late."""
        self._seconds += self._clock() - self._since
        self._count += count
        if self._seconds < self._policy.pace_seconds:
            return True
        enough = self._count >= self._seconds * self._policy.min_bytes_per_second
        self._seconds, self._count = 0.0, 0
        return enough
