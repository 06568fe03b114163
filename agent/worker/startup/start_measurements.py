"""How long a container's start and its steps take, for metrics and traces; the request that its task comes from."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.metrics.instruments import Counter, Histogram
from shoal.telemetry.request_context import request_from, serve
from shoal.telemetry.tracing import OpenSpan, open_span, span

START_SECONDS = Histogram("shoal_agent_start_seconds", "From a task's assignment to RUNNING.")
_STEP_SECONDS = Histogram("shoal_agent_start_step_seconds", "Duration of a step of a container's start.", ("step",))
_FAILURES = Counter("shoal_agent_start_failures", "Steps of a container's start that failed.", ("step",))
_START: ContextVar[OpenSpan | None] = ContextVar("start", default=None)


def serve_origin(revision: ServiceRevision | None, status: TaskStatus) -> None:
    """From now on what the running task does and logs is of the request that made the revision."""
    origin = revision.origin if revision is not None else None
    request = request_from(origin.request_id, origin.traceparent) if origin is not None else None
    if request is not None and request.traceparent and status.state < TaskState.RUNNING:
        opened = open_span("start", request.traceparent, attributes={"shoal.task_id": status.task_id})
        _START.set(opened)
        request = request._replace(traceparent=opened.traceparent)
    serve(request)


def end_start(error: str = "") -> None:
    """The running task's container runs, or never will."""
    if (opened := _START.get()) is not None:
        opened.end(error)
        _START.set(None)


@contextmanager
def start_step(name: str) -> Generator[None]:
    """Measure the step inside: "image", "files", "network" or "container"."""
    began = time.monotonic()
    try:
        with span(name):
            yield
    except Exception:
        _FAILURES.add(name)
        raise
    _STEP_SECONDS.observe(time.monotonic() - began, name)
