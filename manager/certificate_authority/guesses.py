"""A bound on wrong tokens: a few at once from one host, then one every ten seconds.

A secret of 125 bits is not found by guessing; this keeps the log and the CPU free of those who try.
"""

from collections import OrderedDict
from collections.abc import Callable

from shoal.errors import Exhausted

BURST = 5
SECONDS_EACH = 10.0
MAX_HOSTS = 1024


class GuessLimit:
    """A leaky bucket a host. Hosts beyond the bound push out the one that failed longest ago.

    Args:
        clock: seconds that only go up.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Host to (wrong tokens not yet leaked, when that was so).
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, host: str) -> None:
        """Before a token is looked at.

        Raises:
            Exhausted: this host has given too many wrong ones.
        """
        if self._level(host) > BURST - 1:
            raise Exhausted(f"too many wrong join tokens from {host}; try again in a minute")

    def failed(self, host: str) -> None:
        """A token from this host was wrong."""
        self._levels[host] = (self._level(host) + 1, self._clock())
        self._levels.move_to_end(host)
        if len(self._levels) > MAX_HOSTS:
            self._levels.popitem(last=False)

    def _level(self, host: str) -> float:
        level, at = self._levels.get(host, (0.0, 0.0))
        return max(0.0, level - (self._clock() - at) / SECONDS_EACH)
