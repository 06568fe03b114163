"""Calls of a gRPC server, under the names that gRPC's own Prometheus interceptors use."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from grpc import StatusCode

from shoal.metrics.instruments import Counter, Histogram

_LABELS = ("grpc_service", "grpc_method")
_STARTED = Counter("grpc_server_started", "Calls that were started.", _LABELS)
_HANDLED = Counter("grpc_server_handled", "Calls that were completed, by status code.", (*_LABELS, "grpc_code"))
_SECONDS = Histogram("grpc_server_handling_seconds", "Duration of calls that are not streams.", _LABELS)


class CallOutcome:
    """The status code that a call ends with; whoever serves it says so."""

    code = StatusCode.CANCELLED


class CallMetrics:
    """Of one method. `method` is a handler's own: a client's invention never becomes a label.

    Args:
        method: `/shoal.api.v1.Control/ListNodes`.
    """

    def __init__(self, method: str, *, is_stream: bool) -> None:
        _, service, name = method.split("/")
        self._labels = service, name
        self._is_stream = is_stream

    @contextmanager
    def measured(self) -> Generator[CallOutcome]:
        """Count the call inside; one that does not say how it ended was cancelled by its client."""
        outcome, began = CallOutcome(), time.monotonic()
        _STARTED.add(*self._labels)
        try:
            yield outcome
        finally:
            _HANDLED.add(*self._labels, outcome.code.name)
            if not self._is_stream:
                _SECONDS.observe(time.monotonic() - began, *self._labels)
