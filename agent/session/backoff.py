"""How long to wait between attempts."""

from collections.abc import Callable, Iterator

FIRST_SECONDS = 0.1
LAST_SECONDS = 3.0


def delays(jitter: Callable[[], float]) -> Iterator[float]:
    """Seconds: doubling from FIRST to LAST, each between half and whole by `jitter` (0 to 1), without end."""
    step = FIRST_SECONDS
    while True:
        yield step * (0.5 + jitter() / 2)
        step = min(2 * step, LAST_SECONDS)
