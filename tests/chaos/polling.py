"""Wait for a condition."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], seconds: float, period: float = 0.1) -> bool:
    """Poll a condition until it holds, or for so long; whether it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(period)
    return True
