"""How long to wait between attempts."""

from collections.abc import Callable, Iterator

INITIAL_SECONDS = 0.1
MIN_MAX_DELAY_SECONDS = 2.0
"""The longest wait in a small cluster. With the 5 s that an attempt to connect may take (its packets are sent again
after 1 and 3 s), a node that was cut off is back within 5 s."""
MAX_MAX_DELAY_SECONDS = 30.0
"""The longest wait in a cluster of any size."""
SLOW_ATTEMPT_SECONDS = 2.0
"""An attempt that takes longer met a manager that has too much to do, or a network that swallows packets."""
INITIAL_SLOW_SECONDS = 5.0
SLOW_FACTOR = 2
"""How much longer the longest wait is after slow attempts."""


def max_delay(suggested: float) -> float:
    """The longest wait, from what a manager told of the cluster's size."""
    return min(max(suggested, MIN_MAX_DELAY_SECONDS), MAX_MAX_DELAY_SECONDS)


def delays(jitter: Callable[[], float], max_seconds: float = MIN_MAX_DELAY_SECONDS) -> Iterator[float]:
    """Seconds: anything up to a bound that doubles from FIRST to `last`, by `jitter` (0 to 1), without end.

    Full jitter spreads agents that lost their manager in the same moment best, and soonest.
    """
    step = INITIAL_SECONDS
    while True:
        yield step * jitter()
        step = min(2 * step, max_seconds)


class Backoff:
    """The waits of a session, which learns how large the cluster is when a manager answers."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._step = INITIAL_SECONDS
        self._max_delay = MIN_MAX_DELAY_SECONDS
        self._max_slow_delay = MAX_MAX_DELAY_SECONDS
        self._answered = False

    def answered(self, suggested: float) -> None:
        """A manager has: the next wait is short, and none is much longer than it told (seconds).

        The more nodes lose their manager at once, the further they spread from the beginning.
        """
        self._max_delay, self._max_slow_delay = max_delay(suggested), max_delay(SLOW_FACTOR * suggested)
        self._step = self._max_delay * INITIAL_SECONDS / MIN_MAX_DELAY_SECONDS
        self._answered = True

    def next_delay(self, attempt_seconds: float) -> float:
        """Seconds to wait after an attempt that took so long (seconds).

        One that nobody answered in time is work that was done in vain: if very many ask, all of it is, until they ask
        more seldom. As long as no manager has told how many nodes there are, there may be that many.
        """
        last = self._max_delay
        if attempt_seconds > SLOW_ATTEMPT_SECONDS and not self._answered:
            last = self._max_slow_delay
            self._step = max(self._step, min(INITIAL_SLOW_SECONDS, last))
        self._answered = False
        wait = self._step * self._jitter()
        self._step = min(2 * self._step, last)
        return wait
