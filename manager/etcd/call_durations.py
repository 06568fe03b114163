"""How long etcd takes to answer, and how often it does not."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from shoal.metrics.instruments import Counter, Histogram

_SECONDS = Histogram("shoal_etcd_request_seconds", "Duration of etcd's answers to unary calls.", ("operation",))
_FAILURES = Counter("shoal_etcd_request_failures", "Calls that failed, or that etcd refused.", ("operation",))


@contextmanager
def measured(operation: str) -> Generator[None]:
    """Count the call inside: "read" or "write"."""
    began = time.monotonic()
    try:
        yield
    except Exception:
        _FAILURES.add(operation)
        raise
    _SECONDS.observe(time.monotonic() - began, operation)
