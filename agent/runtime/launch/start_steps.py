"""The steps of a start: measured for benchmarks, and fault points."""

import time
from collections.abc import Callable

from shoal.fault_points.injection import fault

OnStep = Callable[[str, float], None]
"""Takes the name of each completed step of a start and its duration in seconds, from a worker thread."""

_PREFIX = "agent.start."


def no_step(name: str, seconds: float) -> None:
    """Measure nothing."""


class StartSteps:
    """Of one start; made when it begins."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step
        self._since = time.perf_counter()

    def __call__(self, point: str) -> None:
        """A step is complete: the one that a fault point is named after."""
        now = time.perf_counter()
        self._on_step(point.removeprefix(_PREFIX).replace("-", " "), now - self._since)
        fault(point)
        self._since = now
