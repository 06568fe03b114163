"""Spans of OpenTelemetry, switched on by its own environment variables.

Off, a span costs a comparison, and nothing of OpenTelemetry is loaded. On, spans are exported in batches over OTLP/HTTP
by a thread of the library. What encloses a span is the current request's `traceparent`, which each span replaces by
its own: so spans follow a change through calls and records from program to program.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeAlias

from shoal.telemetry.log_formatters import without_secrets
from shoal.telemetry.request_context import current_request, serve

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

Attributes: TypeAlias = Mapping[str, str | int]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
DISABLED = "OTEL_SDK_DISABLED"
EXPORTER = "OTEL_TRACES_EXPORTER"
"""As OpenTelemetry's specification names them. Others, such as OTEL_EXPORTER_OTLP_HEADERS, are read by its library."""
EXPORT_SECONDS = 3.0
"""That the end of a program waits for spans to be sent."""


@dataclass
class _Tracing:
    provider: "TracerProvider | None" = None
    tracer: "Tracer | None" = None


_tracing = _Tracing()


def is_requested(environment: Mapping[str, str]) -> bool:
    """Whether the environment switches tracing on."""
    if environment.get(DISABLED, "").lower() == "true" or environment.get(EXPORTER, "otlp") != "otlp":
        return False
    return any(environment.get(name) for name in ENDPOINTS)


def start_tracing(program: str, environment: Mapping[str, str], **attributes: str) -> None:
    """Export spans from now on, if the environment says so.

    Args:
        program: the service's name, unless OTEL_SERVICE_NAME gives another one.
        attributes: of the resource: node or manager.
    """
    if not is_requested(environment):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = environment.get("OTEL_SERVICE_NAME") or program
    resource = Resource.create({"service.name": name, "service.version": version("shoal"), **attributes})
    _tracing.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _tracing.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracing.tracer = _tracing.provider.get_tracer("shoal")


def stop_tracing() -> None:
    """Send what is left, for 3 s at most."""
    if _tracing.provider is not None:
        _tracing.provider.force_flush(int(EXPORT_SECONDS * 1000))
        _tracing.provider.shutdown()
        _tracing.provider = _tracing.tracer = None


def is_tracing() -> bool:
    """Whether spans are exported."""
    return _tracing.tracer is not None


@asynccontextmanager
async def tracing(program: str, **attributes: str) -> AsyncGenerator[None]:
    """Export spans of a daemon within this block, if the environment says so.

    Args:
        attributes: of the resource, below `shoal.`: node or manager.
    """
    start_tracing(program, os.environ, **{f"shoal.{name}": value for name, value in attributes.items()})
    try:
        yield
    finally:
        await asyncio.to_thread(stop_tracing)


@dataclass
class OpenSpan:
    """A span that may end in another task.

    Attributes:
        traceparent: for what it encloses; empty: nothing is traced.
    """

    traceparent: str = ""
    _span: "Span | None" = field(default=None, repr=False)

    def end(self, error: str = "") -> None:
        """End it, as failed where there is an error."""
        if self._span is None:
            return
        if error:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, without_secrets(error)))
        self._span.end()
        self._span = None


def open_span(
    name: str, parent: str, *, is_root: bool = False, start_ns: int | None = None, attributes: Attributes | None = None
) -> OpenSpan:
    """Begin a span within another one.

    Args:
        parent: its traceparent; empty: nothing is traced, unless this is a root.
        start_ns: when it began, nanoseconds since the Unix epoch; None: now.
    """
    if _tracing.tracer is None or not (parent or is_root):
        return OpenSpan(parent)
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent})
    span = _tracing.tracer.start_span(name, context, attributes=attributes, start_time=start_ns)
    about = span.get_span_context()
    return OpenSpan(f"00-{about.trace_id:032x}-{about.span_id:016x}-01", span)


def record_span(name: str, parent: str, *, start_ns: int, attributes: Attributes | None = None) -> None:
    """A span that has begun before and ends now."""
    if _tracing.tracer is not None and parent:
        open_span(name, parent, start_ns=start_ns, attributes=attributes).end()


@contextmanager
def span(name: str, *, is_root: bool = False) -> Generator[None]:
    """A span around what is done inside, if the current request is traced. What is cancelled has not failed."""
    request = current_request()
    if _tracing.tracer is None or request is None or not (request.traceparent or is_root):
        yield
        return
    opened = open_span(name, request.traceparent, is_root=is_root)
    serve(request._replace(traceparent=opened.traceparent))
    error = ""
    try:
        yield
    except Exception as raised:
        error = str(raised) or type(raised).__name__
        raise
    finally:
        opened.end(error)
        serve(request)


def now_ns() -> int:
    """The clock of spans: nanoseconds since the Unix epoch."""
    return time.time_ns()
