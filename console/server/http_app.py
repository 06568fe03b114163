"""The HTTP application: the checks that every request passes, routes, errors."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime

from aiohttp import web

from console.server.assets import Assets
from console.server.json_answers import answer, error_answer
from console.server.request_checks import SAFE_METHODS, is_own_origin, is_served_host
from console.server.request_metrics import count_requests
from console.server.response_headers import SECURITY_HEADERS
from console.server.sessions import Session, SessionSigner
from shoal.errors import ShoalError, Unauthenticated
from shoal.telemetry.request_context import current_request

API = "/api/"
OPEN_PATHS = frozenset({"/api/session"})
"""What is asked before signing in."""
MAX_BODY = 4 << 20
SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)
_BEGUN: web.RequestKey[bool] = web.RequestKey("begun", bool)
"""The head of an answer was sent."""

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def http_app(
    routes: Iterable[web.RouteDef],
    *,
    assets: Assets,
    signer: SessionSigner,
    cookie_name: str,
    names: Callable[[], frozenset[str]],
    acting_for: Callable[[Session], AbstractContextManager[None]],
    now: Callable[[], datetime],
) -> web.Application:
    """The application.

    Args:
        routes: of the API, below `API`.
        cookie_name: of the session.
        names: what browsers may call this console.
        acting_for: around the calls of a request, so that managers know whom they are for.
        now: the clock, with a time zone.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not is_served_host(host, names()):
            return answer({"error": "this console is not served under that name"}, status=421)
        is_stream = "upgrade" in request.headers.get("Connection", "").lower()
        if not is_own_origin(request.headers, host=host, required=is_stream or request.method not in SAFE_METHODS):
            return answer({"error": "requests of other sites are refused"}, status=403)
        if request.path.startswith(API):
            session = signer.session_of(request.cookies.get(cookie_name, ""), now())
            if session is not None:
                request[SESSION] = session
            elif request.path not in OPEN_PATHS:
                raise Unauthenticated("sign in first")
            if session is not None and request.method not in SAFE_METHODS:
                _log.info("%s %s by %s", request.method, request.path, session.user)
        if (session := request.get(SESSION)) is None:
            return await handler(request)
        with acting_for(session):
            return await handler(request)

    async def page(request: web.Request) -> web.StreamResponse:
        return assets.respond(request)

    app = web.Application(middlewares=[count_requests, _errors, check], client_max_size=MAX_BODY)
    app.on_response_prepare.append(_add_headers)
    app.add_routes(routes)
    app.router.add_route("*", API + "{rest:.*}", _unknown)
    app.router.add_get("/{rest:.*}", page)
    return app


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await _whole_or_broken_off(request, handler)
    except ConnectionError:
        raise
    except ShoalError as error:
        return error_answer(error)
    except web.HTTPException as error:
        return answer({"error": error.reason.lower()}, status=error.status)
    except Exception:
        _log.exception("%s %s failed", request.method, request.path)
        about = f" for request {found.request_id}" if (found := current_request()) is not None else ""
        return answer({"error": f"internal error; see the console's log{about}"}, status=500)


async def _whole_or_broken_off(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The handler's answer. One that has begun and fails is broken off: nothing else shows that something is missing.

    Raises:
        ConnectionError: it was broken off, or the browser has left.
    """
    try:
        return await handler(request)
    except Exception as error:
        if not request.get(_BEGUN) or request.transport is None:
            raise
        if not isinstance(error, ConnectionError):
            unexpected = None if isinstance(error, ShoalError) else error
            _log.warning(
                "%s %s failed after its answer had begun: %s", request.method, request.path, error, exc_info=unexpected
            )
        request.transport.abort()
        raise ConnectionResetError("the answer was broken off") from None


async def _unknown(_: web.Request) -> web.StreamResponse:
    return answer({"error": "no such call"}, status=404)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    request[_BEGUN] = True
    response.headers.update(SECURITY_HEADERS)
    response.headers["Server"] = "shoal-console"
