"""How long to wait between attempts."""

from collections.abc import Callable, Iterator

FIRST_SECONDS = 0.1
LEAST_LAST_SECONDS = 2.0
"""The longest wait in a small cluster. With the 5 s that an attempt to connect may take (its packets are sent again
after 1 and 3 s), a node that was cut off is back within 5 s."""
MOST_LAST_SECONDS = 30.0
"""The longest wait in a cluster of any size."""


def last_seconds(told: float) -> float:
    """The longest wait, from what a manager told when it was last heard; 0 where none was."""
    return min(max(told, LEAST_LAST_SECONDS), MOST_LAST_SECONDS)


def delays(jitter: Callable[[], float], last: float = LEAST_LAST_SECONDS) -> Iterator[float]:
    """Seconds: anything up to a bound that doubles from FIRST to `last`, by `jitter` (0 to 1), without end.

    Full jitter spreads agents that lost their manager in the same moment best, and soonest.
    """
    step = FIRST_SECONDS
    while True:
        yield step * jitter()
        step = min(2 * step, last)
