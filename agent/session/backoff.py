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
        self._last: float | None = None

    def answered(self, told: float) -> None:
        """A manager has: the next wait is short, and none is longer than it told (seconds).

        The more nodes lose their manager at once, the further they spread from the beginning.
        """
        self._last = last_seconds(told)
        self._step = self._last * FIRST_SECONDS / LEAST_LAST_SECONDS

    def next(self, took: float) -> float:
        """Seconds to wait after an attempt that took so long (seconds).

        As long as no manager has told how many nodes there are, slow attempts are taken for a sign of very many.
        """
        slow = self._last is None and took > SLOW_SECONDS
        if slow:
            self._step = max(self._step, FIRST_SLOW_SECONDS)
        wait = self._step * self._jitter()
        self._step = min(2 * self._step, MOST_LAST_SECONDS if slow else self._last or LEAST_LAST_SECONDS)
        return wait
