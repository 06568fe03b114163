"""What the programs count, and that hostile input adds no series."""

import asyncio
from ipaddress import IPv4Address

import dns.message
import dns.rcode
import pytest
from grpc import StatusCode

from agent.network.dns.query_metrics import DROPPED, QueryMetrics, result_of
from engine.server.request_metrics import NO_ROUTE, RequestMetrics
from manager.monitoring.cluster_gauges import task_family
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.metrics import instruments
from shoal.metrics.families import MetricFamily
from shoal.rpc.call_metrics import CallMetrics


def _family(name: str) -> MetricFamily:
    return instruments._instruments[name].family()


def test_a_call_ends_with_its_code_or_as_cancelled() -> None:
    metrics = CallMetrics("/shoal.test/Get", is_stream=False)
    with metrics.measured() as outcome:
        outcome.code = StatusCode.OK
    with pytest.raises(asyncio.CancelledError), metrics.measured():
        raise asyncio.CancelledError
    handled = _family("grpc_server_handled").values
    assert handled[("shoal.test", "Get", "OK")] == 1
    assert handled[("shoal.test", "Get", "CANCELLED")] == 1
    assert sum(_family("grpc_server_handling_seconds").distributions[("shoal.test", "Get")].counts) == 2


def test_streams_have_no_duration() -> None:
    with CallMetrics("/shoal.test/Watch", is_stream=True).measured() as outcome:
        outcome.code = StatusCode.OK
    assert ("shoal.test", "Watch") not in _family("grpc_server_handling_seconds").distributions


def test_dns_answers_are_counted_by_code_whatever_was_asked_for() -> None:
    metrics = QueryMetrics("udp")
    before = set(_family("shoal_dns_queries").values)
    for number in range(200):
        query = dns.message.make_query(f"n{number}.{IPv4Address(number)}.example", "A")
        answer = dns.message.make_response(query)
        answer.set_rcode(dns.rcode.NXDOMAIN)
        metrics.answered(answer.to_wire(), metrics.clock())
    assert set(_family("shoal_dns_queries").values) - before <= {("udp", "nxdomain")}
    assert result_of(None) == result_of(b"short") == DROPPED


def test_paths_without_a_route_are_one_series() -> None:
    metrics = RequestMetrics()
    for _ in range(50):
        with metrics.measured() as outcome:
            outcome.status = "404"
    assert _family("shoal_engine_requests").values[(NO_ROUTE, "404")] >= 50
    with metrics.measured() as outcome, metrics.streaming():
        outcome.operation, outcome.is_stream = "ContainerAttach", True
        assert [family.values[()] for family in metrics.families()] == [1, 1]
    assert [family.values[()] for family in metrics.families()] == [0, 0]


def test_tasks_without_a_status_are_new() -> None:
    statuses = [TaskStatus(task_id="a", state=TaskState.RUNNING), TaskStatus(task_id="b", state=TaskState.FAILED)]
    values = task_family(5, statuses).values
    assert values[("running",)] == values[("failed",)] == 1
    assert values[("new",)] == 3
    assert values[("starting",)] == 0, "a state that nothing is in has its series, too"
