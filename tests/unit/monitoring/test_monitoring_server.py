"""What is served on the monitoring address, and to whom."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from shoal.errors import InvalidInput, Unavailable
from shoal.metrics.families import MetricFamily, gauge
from shoal.monitoring.health import HealthCheck
from shoal.monitoring.server import monitoring_server
from shoal.monitoring.settings import OFF, MonitoringSettings, monitoring_faults

TOKEN = "of-sixteen-characters-or-more"


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @wraps(test)
    def run(*args: Any, **values: Any) -> None:
        asyncio.run(test(*args, **values))

    return run


async def _no_metrics() -> Sequence[MetricFamily]:
    return [gauge("shoal_answer", "The answer.", 42)]


async def _fine() -> Sequence[HealthCheck]:
    return [HealthCheck("process", is_vital=True), HealthCheck("etcd")]


async def _without_etcd() -> Sequence[HealthCheck]:
    return [HealthCheck("process", is_vital=True), HealthCheck("etcd", "no response of 10.0.0.5")]


async def _ask(port: int, head: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    top, _, body = answer.partition("\r\n\r\n")
    return int(top.split(" ")[1]), body


async def _get(port: int, path: str, token: str = "") -> tuple[int, str]:
    more = f"Authorization: Bearer {token}\r\n" if token else ""
    return await _ask(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n")


def _token_file(directory: Path) -> Path:
    file = directory / "token"
    file.write_text(f"{TOKEN}\n")
    return file


@in_loop
async def test_health_is_said_with_each_check() -> None:
    settings = MonitoringSettings("127.0.0.1:0")
    async with monitoring_server(settings, checks=_without_etcd, collect=_no_metrics) as port:
        status, body = await _get(port, "/readyz")
        assert status == 503
        assert json.loads(body) == {
            "status": "failed",
            "checks": [
                {"name": "process", "status": "ok", "message": ""},
                {"name": "etcd", "status": "failed", "message": "no response of 10.0.0.5"},
            ],
        }
        status, body = await _get(port, "/healthz")
        assert (status, json.loads(body)["status"]) == (200, "ok"), "a restart would not bring etcd back"
    async with monitoring_server(settings, checks=_fine, collect=_no_metrics) as port:
        assert (await _get(port, "/readyz"))[0] == 200


@in_loop
async def test_metrics_need_the_token_and_health_says_no_details_without_it(tmp_path: Path) -> None:
    settings = MonitoringSettings("127.0.0.1:0", token_file=_token_file(tmp_path))
    async with monitoring_server(settings, checks=_without_etcd, collect=_no_metrics) as port:
        for token in ("", "wrong", TOKEN[:-1]):
            assert (await _get(port, "/metrics", token))[0] == 401
        status, text = await _get(port, "/metrics", TOKEN)
        assert status == 200
        assert "shoal_answer 42.0" in text
        assert TOKEN not in text
        status, body = await _get(port, "/readyz")
        assert (status, json.loads(body)) == (503, {"status": "failed"})
        assert "10.0.0.5" in (await _get(port, "/readyz", TOKEN))[1]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /metrics HTTP/1.1\r\n\r\n", 405),
        ("GET /secrets HTTP/1.1\r\n\r\n", 404),
        ("GET\r\n\r\n", 400),
        ("\xff\x00 a b\r\n\r\n", 405),
    ],
)
@in_loop
async def test_anything_else_is_refused(head: str, status: int) -> None:
    async with monitoring_server(MonitoringSettings("127.0.0.1:0"), checks=_fine, collect=_no_metrics) as port:
        assert (await _ask(port, head))[0] == status


@in_loop
async def test_a_long_request_and_many_connections_end_and_the_next_one_is_served() -> None:
    async with monitoring_server(MonitoringSettings("127.0.0.1:0"), checks=_fine, collect=_no_metrics) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000)
            assert await reader.read() == b""
        except ConnectionError:
            pass
        for _, each in held:
            each.transport.abort()
        writer.transport.abort()
        async with asyncio.timeout(60):
            while True:
                try:
                    status, _ = await _get(port, "/healthz")
                    break
                except (ConnectionError, IndexError):
                    await asyncio.sleep(0.01)
        assert status == 200


@in_loop
async def test_a_default_address_in_use_is_done_without_and_a_chosen_one_is_an_error() -> None:
    async with monitoring_server(MonitoringSettings("127.0.0.1:0"), checks=_fine, collect=_no_metrics) as port:
        taken = f"127.0.0.1:{port}"
        async with monitoring_server(
            MonitoringSettings(taken, is_default=True), checks=_fine, collect=_no_metrics
        ) as other:
            assert other == 0
        with pytest.raises(Unavailable, match=f"cannot serve health and metrics on {taken}"):
            async with monitoring_server(MonitoringSettings(taken), checks=_fine, collect=_no_metrics):
                pass
    async with monitoring_server(MonitoringSettings(OFF), checks=_fine, collect=_no_metrics) as none:
        assert none == 0


@in_loop
async def test_a_short_token_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("short")
    settings = MonitoringSettings("127.0.0.1:0", token_file=file)
    with pytest.raises(InvalidInput, match="at least 16 characters"):
        async with monitoring_server(settings, checks=_fine, collect=_no_metrics):
            pass


@pytest.mark.parametrize(
    ("settings", "has_identity", "fields"),
    [
        (MonitoringSettings("127.0.0.1:7450"), False, []),
        (MonitoringSettings("[::1]:0"), False, []),
        (MonitoringSettings("off"), False, []),
        (MonitoringSettings("0.0.0.0:7450"), True, ["monitoring-token-file"]),
        (MonitoringSettings("0.0.0.0:7450"), False, ["monitoring-token-file", "monitoring-certificate"]),
        (MonitoringSettings("10.0.0.1:7450", token_file=Path("/t")), True, []),
        (MonitoringSettings("10.0.0.1:7450", token_file=Path("/t"), key=Path("/k")), True, ["monitoring-key"]),
        (MonitoringSettings("nonsense"), True, ["monitoring-address"]),
    ],
)
def test_beyond_loopback_there_is_tls_and_a_token(
    settings: MonitoringSettings, has_identity: bool, fields: list[str]
) -> None:
    assert [fault.path for fault in monitoring_faults(settings, has_identity=has_identity)] == fields
