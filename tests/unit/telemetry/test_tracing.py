"""Spans, exported to a receiver that parses them with OpenTelemetry's own messages; nothing where they are off."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent.worker.startup import start_measurements
from shoal.api.v1.service_pb2 import ChangeOrigin, ServiceRevision
from shoal.api.v1.task_pb2 import TaskStatus
from shoal.telemetry import tracing
from shoal.telemetry.request_context import RequestContext, current_request, new_request, serve
from tests.fakes.otlp_receiver import OtlpReceiver, otlp_receiver


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    """Tracing is on, and goes there."""
    with otlp_receiver() as made:
        address = f"http://127.0.0.1:{made.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        tracing.start_tracing("shoal-test", {"OTEL_EXPORTER_OTLP_ENDPOINT": address})
        try:
            yield made
        finally:
            tracing.stop_tracing()
            serve(None)


def test_spans_are_nested_and_follow_a_change_through_its_record(receiver: OtlpReceiver) -> None:
    serve(new_request())
    with tracing.span("shoal service create", is_root=True), tracing.span("commit"):
        request = current_request()
        assert request is not None
        origin = ChangeOrigin(request_id=request.request_id, traceparent=request.traceparent)
    revision = ServiceRevision(origin=origin)
    start_measurements.serve_origin(revision, TaskStatus(task_id="t1"))
    with start_measurements.start_step("image"):
        pass
    with pytest.raises(RuntimeError), start_measurements.start_step("network"):
        raise RuntimeError("no address; token SHOAL-1-abcdefgh" + "z" * 20 + "-0secret")
    start_measurements.end_start()
    tracing.stop_tracing()
    spans = {each.name: each for each in receiver.spans}
    assert list(spans) == ["commit", "shoal service create", "image", "network", "start"]
    assert len({each.trace_id for each in spans.values()}) == 1
    assert spans["commit"].parent_id == spans["shoal service create"].span_id
    assert spans["start"].parent_id == spans["commit"].span_id
    assert spans["image"].parent_id == spans["network"].parent_id == spans["start"].span_id
    assert not spans["shoal service create"].parent_id
    assert {each.name for each in spans.values() if each.failed} == {"network"}
    assert {each.service for each in spans.values()} == {"shoal-test"}


def test_requests_that_are_not_traced_make_no_spans(receiver: OtlpReceiver) -> None:
    serve(RequestContext("0" * 16))
    with tracing.span("commit"):
        pass
    tracing.record_span("plan", "", start_ns=tracing.now_ns())
    start_measurements.serve_origin(None, TaskStatus(task_id="t1"))
    start_measurements.serve_origin(ServiceRevision(), TaskStatus(task_id="t1"))
    assert current_request() is None
    tracing.stop_tracing()
    assert receiver.spans == []


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
    ],
)
def test_opentelemetrys_own_variables_switch_it_on(environment: dict[str, str], on: bool) -> None:
    assert tracing.is_requested(environment) is on


def test_off_nothing_of_opentelemetry_or_prometheus_is_loaded() -> None:
    script = (
        "import sys, manager.app, agent.app, cli.main, engine.app\n"
        "from shoal.telemetry.tracing import span, start_tracing\n"
        "start_tracing('x', {})\n"
        "with span('x', is_root=True): pass\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus_client'))])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"
