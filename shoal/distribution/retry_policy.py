"""Retry policy: which requests are retried, and after which delay. Pure."""

import random
from dataclasses import dataclass

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class RetryPolicy:
    """How patient a client is.

    Attributes:
        attempts: tries for each endpoint, the first one counted.
        first_seconds: wait after the first failure; doubles with each.
        max_seconds: no wait is longer, whatever the registry asks for.
        connect_seconds: for the connection; `idle_seconds` for silence on it.
        response_seconds: for a try to read until its answer begins, with logins and redirects; for the whole body of an
            answer that is not a layer.
        pace_seconds: a layer that brings less than `min_bytes_per_second` while it is waited for this long is
            given up.
        layer_seconds: for a whole layer with all tries, and as much again as it takes at `slow_bytes_per_second`.
    """

    attempts: int = 4
    first_seconds: float = 0.25
    max_seconds: float = 10.0
    connect_seconds: float = 5.0
    idle_seconds: float = 30.0
    response_seconds: float = 60.0
    pace_seconds: float = 30.0
    min_bytes_per_second: int = 8 << 10
    layer_seconds: float = 600.0
    slow_bytes_per_second: int = 32 << 10

    def layer_deadline(self, size: int) -> float:
        """Seconds that a layer of `size` bytes may take in all."""
        return self.layer_seconds + min(size, 1 << 60) / self.slow_bytes_per_second

    def delay(self, failures: int, retry_after: str = "") -> float:
        """Seconds to wait after so many failures: what `Retry-After` asks (in seconds), else backoff with jitter."""
        if retry_after.isdecimal():
            return min(float(retry_after), self.max_seconds)
        backoff = self.first_seconds * 2.0 ** max(0, failures - 1)
        return min(backoff, self.max_seconds) * (0.75 + random.random() / 2)  # noqa: S311 - spreads load only
