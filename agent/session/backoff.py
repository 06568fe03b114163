"""Delays between connection attempts."""

from collections.abc import Callable, Iterator

INITIAL_SECONDS = 0.1
MIN_MAX_DELAY_SECONDS = 2.0
"""The longest delay in a small cluster. With the 5 s that an attempt to connect may take (its packets are sent again
after 1 and 3 s), a disconnected node is back within 5 s."""
MAX_MAX_DELAY_SECONDS = 30.0
"""The longest delay in a cluster of any size."""
SLOW_ATTEMPT_SECONDS = 2.0
"""An attempt that takes longer met an overloaded manager, or a network that drops packets."""
INITIAL_SLOW_SECONDS = 5.0
SLOW_FACTOR = 2
"""Factor of the longest delay after slow attempts."""


def max_delay(suggested: float) -> float:
    """The longest delay, from a manager's suggestion, which depends on the cluster's size."""
    return min(max(suggested, MIN_MAX_DELAY_SECONDS), MAX_MAX_DELAY_SECONDS)


def delays(jitter: Callable[[], float], max_seconds: float = MIN_MAX_DELAY_SECONDS) -> Iterator[float]:
    """Endless delays in seconds: `jitter` (0 to 1) times a bound that doubles up to `max_seconds`.

    Full jitter spreads agents that lost their manager at the same moment best, and soonest.
    """
    step = INITIAL_SECONDS
    while True:
        yield step * jitter()
        step = min(2 * step, max_seconds)


class Backoff:
    """Delays of a session; a manager's response tells the size of the cluster."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._step = INITIAL_SECONDS
        self._max_delay = MIN_MAX_DELAY_SECONDS
        self._max_slow_delay = MAX_MAX_DELAY_SECONDS
        self._answered = False

    def answered(self, suggested: float) -> None:
        """A manager has responded: the next delay is short, and none is much longer than suggested (seconds).

        The more nodes the cluster has, the further they spread from the first attempt on.
        """
        self._max_delay, self._max_slow_delay = max_delay(suggested), max_delay(SLOW_FACTOR * suggested)
        self._step = self._max_delay * INITIAL_SECONDS / MIN_MAX_DELAY_SECONDS
        self._answered = True

    def next_delay(self, attempt_seconds: float) -> float:
        """Seconds to wait after an attempt of this duration (seconds).

        An attempt that timed out was wasted work for the manager: with very many agents all attempts time out, until
        they are made less often. As long as no manager has told the cluster's size, it may be that large.
        """
        longest = self._max_delay
        if attempt_seconds > SLOW_ATTEMPT_SECONDS and not self._answered:
            longest = self._max_slow_delay
            self._step = max(self._step, min(INITIAL_SLOW_SECONDS, longest))
        self._answered = False
        delay = self._step * self._jitter()
        self._step = min(2 * self._step, longest)
        return delay
