"""How long to wait between attempts."""

from collections.abc import Callable, Iterator

FIRST_SECONDS = 0.1
LAST_SECONDS = 2.0
"""With the 5 s that an attempt to connect may take (its packets are sent again after 1 and 3 s), a node that was cut
off is back within 5 s."""


def delays(jitter: Callable[[], float]) -> Iterator[float]:
    """Seconds: doubling from FIRST to LAST, each between half and whole by `jitter` (0 to 1), without end."""
    step = FIRST_SECONDS
    while True:
        yield step * (0.5 + jitter() / 2)
        step = min(2 * step, LAST_SECONDS)
