"""How long the steps of a container's start take."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from shoal.metrics.instruments import Counter, Histogram

START_SECONDS = Histogram("shoal_agent_start_seconds", "From a task's assignment to RUNNING.")
_STEP_SECONDS = Histogram("shoal_agent_start_step_seconds", "Duration of a step of a container's start.", ("step",))
_FAILURES = Counter("shoal_agent_start_failures", "Steps of a container's start that failed.", ("step",))


@contextmanager
def start_step(name: str) -> Generator[None]:
    """Measure the step inside: "image", "files", "network" or "container"."""
    began = time.monotonic()
    try:
        yield
    except Exception:
        _FAILURES.add(name)
        raise
    _STEP_SECONDS.observe(time.monotonic() - began, name)
