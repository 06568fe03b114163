"""How long to wait between attempts."""

from collections.abc import Callable, Iterator

FIRST_SECONDS = 0.1
LEAST_LAST_SECONDS = 2.0
"""The longest wait in a small cluster. With the 5 s that an attempt to connect may take (its packets are sent again
after 1 and 3 s), a node that was cut off is back within 5 s."""
MOST_LAST_SECONDS = 30.0
"""The longest wait in a cluster of any size."""
SLOW_SECONDS = 2.0
"""An attempt that takes longer met a manager that has too much to do, or a network that swallows packets."""
FIRST_SLOW_SECONDS = 5.0
SLOW_FACTOR = 2
"""How much longer the longest wait is after slow attempts."""


def last_seconds(told: float) -> float:
    """The longest wait, from what a manager told of the cluster's size."""
    return min(max(told, LEAST_LAST_SECONDS), MOST_LAST_SECONDS)


def delays(jitter: Callable[[], float], last: float = LEAST_LAST_SECONDS) -> Iterator[float]:
    """Seconds: anything up to a bound that doubles from FIRST to `last`, by `jitter` (0 to 1), without end.

    Full jitter spreads agents that lost their manager in the same moment best, and soonest.
    """
    step = FIRST_SECONDS
    while True:
        yield step * jitter()
        step = min(2 * step, last)


class Backoff:
    """The waits of a session, which learns how large the cluster is when a manager answers."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._step = FIRST_SECONDS
        self._last = LEAST_LAST_SECONDS
        self._last_slow = MOST_LAST_SECONDS
        self._answered = False

    def answered(self, told: float) -> None:
        """A manager has: the next wait is short, and none is much longer than it told (seconds).

        The more nodes lose their manager at once, the further they spread from the beginning.
        """
        self._last, self._last_slow = last_seconds(told), last_seconds(SLOW_FACTOR * told)
        self._step = self._last * FIRST_SECONDS / LEAST_LAST_SECONDS
        self._answered = True

    def next(self, took: float) -> float:
        """Seconds to wait after an attempt that took so long (seconds).

        One that nobody answered in time is work that was done in vain: if very many ask, all of it is, until they ask
        more seldom. As long as no manager has told how many nodes there are, there may be that many.
        """
        last = self._last
        if took > SLOW_SECONDS and not self._answered:
            last = self._last_slow
            self._step = max(self._step, min(FIRST_SLOW_SECONDS, last))
        self._answered = False
        wait = self._step * self._jitter()
        self._step = min(2 * self._step, last)
        return wait
