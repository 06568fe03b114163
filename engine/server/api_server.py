"""What happens to every request: version, route, caller, handler, and errors as answers."""

import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus

from aiohttp import web

from engine.protocol.errors import ApiError, page_not_found, status_of
from engine.protocol.go_times import time_text
from engine.protocol.versions import NEWEST, ApiVersion, is_answered_in_json, unsupported
from engine.server.call import JSON, Call
from engine.server.callers import LOCAL, ApiCaller, caller_of
from engine.server.http_connection import HttpServer
from engine.server.request_metrics import RequestMetrics, RequestOutcome
from engine.server.routes import Route, RouteTable, split_version
from engine.server.server_headers import SERVER_HEADERS
from shoal.errors import ShoalError
from shoal.manager_calls.stale_reads import noting_stale_reads
from shoal.telemetry.request_context import current_request, new_request, serve
from shoal.telemetry.tracing import span

_log = logging.getLogger(__name__)
_http_log = logging.getLogger(f"{__name__}.http")
"""For aiohttp, which calls it an error when a client leaves in the middle of a stream."""

LINE_BYTES = 32 * 1024
"""Of the request line, and of a header: credentials of registries are headers, filters are in the path."""
MAX_HEADERS = 100
STALE_HEADER = "Shoal-Stale-Since"
"""Of an answer with records of a manager that is disconnected from etcd: since when. They may be out of date."""
KEEP_ALIVE_SECONDS = 300.0
LINGER_SECONDS = 2.0
"""For the rest of a body that is not read, so that its sender reads the answer."""


def _is_no_departure(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectionError))


_http_log.addFilter(_is_no_departure)


class ApiServer:
    """Serves the API's requests on any number of listeners.

    Args:
        cluster: id of the cluster whose certificates are good over TCP; empty: of every cluster of the authority.
        local: the caller on a Unix socket.
        acting_for: entered while a request of this caller is served.
    """

    def __init__(
        self,
        routes: RouteTable,
        *,
        cluster: str = "",
        local: ApiCaller = LOCAL,
        acting_for: Callable[[ApiCaller], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        self._routes = routes
        self._cluster = cluster
        self._local = local
        self._acting_for = acting_for
        self.metrics = RequestMetrics()

    def http_server(self) -> web.Server:
        """A factory of aiohttp's protocols. Handlers are cancelled when their client is gone."""
        return HttpServer(
            self.handle,
            handler_cancellation=True,
            access_log=None,
            logger=_http_log,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=MAX_HEADERS,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            auto_decompress=False,
            lingering_time=LINGER_SECONDS,
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; every error of it is an answer too."""
        serve(new_request())
        with self.metrics.measured() as outcome:
            response = await self._respond(request, outcome)
            outcome.status = str(response.status)
            return response

    async def _respond(self, request: web.BaseRequest, outcome: RequestOutcome) -> web.StreamResponse:
        text, path = split_version(request.path)
        version = NEWEST
        try:
            version = _version(text)
            route, parameters = self._route(request.method, path)
            outcome.operation, outcome.is_stream = route.operation, route.hijacks
            caller = caller_of(request, self._cluster, self._local)
            with (
                self._acting_for(caller),
                span(f"engine {route.operation}", is_root=not route.hijacks),
                noting_stale_reads() as stale,
            ):
                response = await self._run(route, Call(request, version, parameters, caller))
            if stale.since_ms and not response.prepared:
                response.headers[STALE_HEADER] = time_text(stale.since_ms)
            return response
        except ShoalError as error:
            return _error_response(error, version)
        except ConnectionError:
            raise
        except Exception:
            _log.exception("%s %s failed", request.method, path)
            return _error_response(
                ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, f"internal error; see the engine's log{_of_request()}"),
                version,
            )

    def _route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        found = self._routes.find(method, path)
        if found is None:
            raise page_not_found()
        return found[0], dict(found[1])

    async def _run(self, route: Route, call: Call) -> web.StreamResponse:
        transport = call.request.transport
        if route.hijacks and transport is not None and not call.request.body_exists:
            # What the client sends from now on is input of a program, and no further request.
            transport.pause_reading()
        try:
            with self.metrics.streaming() if route.hijacks else nullcontext():
                return await route.handler(call)
        except ConnectionError:
            raise
        except Exception:
            if transport is not None and call.has_begun:
                # The head is out: only the end of the connection shows that something is missing.
                _log.warning("%s failed after its answer had begun", route.operation, exc_info=True)
                transport.abort()
                raise ConnectionResetError("the answer was broken off") from None
            raise
        finally:
            if route.hijacks and transport is not None:
                transport.resume_reading()


def _of_request() -> str:
    """Which lines of the log an error is about."""
    request = current_request()
    return f" for request {request.request_id}" if request is not None else ""


def _version(text: str) -> ApiVersion:
    if not text:
        return NEWEST
    try:
        version = ApiVersion.parse(text)
    except ValueError:
        raise page_not_found() from None
    if reason := unsupported(version):
        raise _UnsupportedVersion(version, reason)
    return version


class _UnsupportedVersion(ApiError):
    def __init__(self, version: ApiVersion, reason: str) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, reason)
        self.version = version


def _error_response(error: ShoalError, version: ApiVersion) -> web.Response:
    status = status_of(error)
    if status == HTTPStatus.NOT_MODIFIED:
        return web.Response(status=status, headers=SERVER_HEADERS)
    if isinstance(error, _UnsupportedVersion):
        version = error.version
    if not is_answered_in_json(version):
        return web.Response(
            text=f"{error}\n", status=status, headers={**SERVER_HEADERS, "X-Content-Type-Options": "nosniff"}
        )
    return _json_error(str(error), status)


def _json_error(message: str, status: HTTPStatus) -> web.Response:
    body = json.dumps({"message": message}, ensure_ascii=False, separators=(",", ":")) + "\n"
    headers = {**SERVER_HEADERS, "Content-Type": JSON}
    return web.Response(body=body.encode(errors="replace"), status=status, headers=headers)
