"""Serves `/healthz`, `/readyz` and `/metrics` of a daemon."""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from shoal.errors import InvalidInput, Unavailable
from shoal.identity.identity import CERTIFICATE_FILE, KEY_FILE
from shoal.metrics.families import MetricFamily
from shoal.metrics.instruments import instrument_families
from shoal.monitoring.health import Checks, HealthCheck, document, is_healthy, is_ready
from shoal.monitoring.http_listener import JSON, HttpAnswer, HttpListener
from shoal.monitoring.settings import OFF, MonitoringSettings
from shoal.task_group import TaskGroup

RELOAD_SECONDS = 60.0
MIN_TOKEN_CHARACTERS = 16

Collect = Callable[[], Awaitable[Sequence[MetricFamily]]]
"""Metrics that are read when somebody asks for them."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def monitoring_server(
    settings: MonitoringSettings, *, checks: Checks, collect: Collect, identity: Path | None = None
) -> AsyncGenerator[int]:
    """Serve within this block; the port, 0 where nothing is served.

    Args:
        identity: directory of the daemon's own certificate, for TLS where the settings name none.
    Raises:
        InvalidInput: a file of the settings cannot be used.
        Unavailable: the address cannot be listened on.
    """
    if settings.address == OFF:
        yield 0
        return
    files = _tls_files(settings, identity)
    tls = _tls_context(files) if files is not None else None
    listener = HttpListener(_Pages(checks, collect).routes(), token=_token(settings.token_file), tls=tls)
    port = await _listen(listener, settings)
    try:
        async with TaskGroup() as group:
            reloading = group.create_task(_reload(tls, files), name="certificate of monitoring") if tls else None
            yield port
            if reloading is not None:
                reloading.cancel()
    finally:
        listener.close()


class _Pages:
    def __init__(self, checks: Checks, collect: Collect) -> None:
        self._checks, self._collect = checks, collect

    def routes(self) -> dict[str, Callable[[bool], Awaitable[HttpAnswer]]]:
        return {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics}

    async def _healthz(self, admitted: bool) -> HttpAnswer:
        return await self._health(is_healthy, admitted)

    async def _readyz(self, admitted: bool) -> HttpAnswer:
        return await self._health(is_ready, admitted)

    async def _health(self, decide: Callable[[Sequence[HealthCheck]], bool], admitted: bool) -> HttpAnswer:
        checks = await self._checks()
        passed = decide(checks)
        status = HTTPStatus.OK if passed else HTTPStatus.SERVICE_UNAVAILABLE
        return HttpAnswer(status, document(checks, passed=passed, details=admitted), JSON)

    async def _metrics(self, admitted: bool) -> HttpAnswer:
        if not admitted:
            return HttpAnswer(HTTPStatus.UNAUTHORIZED, b"a bearer token is required\n")
        families = [*instrument_families(), *await self._collect()]
        content_type, body = await asyncio.to_thread(_expose, families)
        return HttpAnswer(HTTPStatus.OK, body, content_type)


def _expose(families: Sequence[MetricFamily]) -> tuple[str, bytes]:
    from shoal.monitoring import exposition  # loads Prometheus' client library, which nobody may ever need

    return exposition.CONTENT_TYPE, exposition.expose(families)


async def _listen(listener: HttpListener, settings: MonitoringSettings) -> int:
    try:
        port = await listener.start(settings.host, settings.port)
    except OSError as error:
        text = f"cannot serve health and metrics on {settings.address}: {error.strerror or error}"
        if not settings.is_default:
            raise Unavailable(text) from error
        _log.warning("%s; choose another address with --monitoring-address", text)
        return 0
    _log.debug("serving health and metrics on %s, port %d", settings.host, port)
    return port


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read the monitoring token in {path}: {error}") from error
    if len(token) < MIN_TOKEN_CHARACTERS or not token.isprintable():
        raise InvalidInput(f"the monitoring token in {path} must have at least {MIN_TOKEN_CHARACTERS} characters")
    return token


def _tls_files(settings: MonitoringSettings, identity: Path | None) -> tuple[Path, Path] | None:
    if settings.certificate is not None and settings.key is not None:
        return settings.certificate, settings.key
    if settings.is_loopback or identity is None:
        return None
    return identity / CERTIFICATE_FILE, identity / KEY_FILE


def _tls_context(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(*files)
    except OSError as error:
        raise InvalidInput(f"cannot use {files[0]} and {files[1]}: {error}") from error
    return context


async def _reload(tls: ssl.SSLContext, files: tuple[Path, Path] | None) -> None:
    """Use a renewed certificate for connections from then on."""
    while files is not None:
        await asyncio.sleep(RELOAD_SECONDS)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files)  # first elsewhere: it may be half written
            tls.load_cert_chain(*files)
        except OSError as error:
            _log.warning("the old certificate for health and metrics stays in use: %s", error)
