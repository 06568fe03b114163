"""Requests of the Engine API, by operation and status. What no route has is one label: paths have no end."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from shoal.metrics.families import MetricFamily, gauge
from shoal.metrics.instruments import Counter, Histogram

_REQUESTS = Counter("shoal_engine_requests", "Requests, by operation and status.", ("operation", "status"))
_SECONDS = Histogram(
    "shoal_engine_request_seconds", "Duration of requests that take no connection over.", ("operation",)
)
NO_ROUTE = "none"
CLIENT_LEFT = "left"


class RequestOutcome:
    """How a request ended; whoever serves it says so.

    Attributes:
        operation: of the API's description.
        status: of the answer; "left": the client was gone before.
    """

    operation = NO_ROUTE
    status = CLIENT_LEFT
    is_stream = False


class RequestMetrics:
    """Counts requests, and those that are open."""

    def __init__(self) -> None:
        self._open = 0
        self._streams = 0

    @contextmanager
    def measured(self) -> Generator[RequestOutcome]:
        """Count the request inside."""
        outcome, began = RequestOutcome(), time.monotonic()
        self._open += 1
        try:
            yield outcome
        finally:
            self._open -= 1
            _REQUESTS.add(outcome.operation, outcome.status)
            if not outcome.is_stream:
                _SECONDS.observe(time.monotonic() - began, outcome.operation)

    @contextmanager
    def streaming(self) -> Generator[None]:
        """Count the stream inside as open."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    def families(self) -> list[MetricFamily]:
        """Gauges as of now."""
        return [
            gauge("shoal_engine_open_requests", "Requests that are being served.", self._open),
            gauge("shoal_engine_open_streams", "Connections that were taken over: attach, exec, build.", self._streams),
        ]
