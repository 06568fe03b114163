"""Limits by key: a few at once, then at a rate. Pure but for the clock that is passed in."""

from collections import OrderedDict
from collections.abc import Callable

MAX_KEYS = 1024


class LeakyBuckets:
    """One leaky bucket for each key. Beyond the maximum, the key that was added to longest ago is evicted.

    Args:
        burst: at once.
        seconds_each: until one has leaked.
        clock: monotonic seconds.
    """

    def __init__(
        self, *, burst: float, seconds_each: float, clock: Callable[[], float], max_keys: int = MAX_KEYS
    ) -> None:
        self._burst = burst
        self._seconds_each = seconds_each
        self._clock = clock
        self._max_keys = max_keys
        # Key to (level, when it was computed).
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_until_room(self, key: str) -> float:
        """0 when there is room for one more now."""
        return max(0.0, self._level(key) - (self._burst - 1)) * self._seconds_each

    def add(self, key: str) -> None:
        """One more, whether there is room or not."""
        self._levels[key] = (self._level(key) + 1, self._clock())
        self._levels.move_to_end(key)
        if len(self._levels) > self._max_keys:
            self._levels.popitem(last=False)

    def _level(self, key: str) -> float:
        level, at = self._levels.get(key, (0.0, 0.0))
        return max(0.0, level - (self._clock() - at) / self._seconds_each)
