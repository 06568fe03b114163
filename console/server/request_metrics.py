"""Requests of browsers, by route and status. What no route has is one label: paths have no end."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from shoal.metrics.instruments import Counter
from shoal.telemetry.request_context import new_request, serve
from shoal.telemetry.tracing import span

_REQUESTS = Counter("shoal_console_requests", "Requests of browsers, by route and status.", ("route", "status"))


@web.middleware
async def count_requests(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The outermost middleware; calls that a request causes are named after it."""
    serve(new_request())
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "none"
    # Streams last as long as a page is open: no span for them.
    with span(
        f"console {request.method} {route}", is_root="upgrade" not in request.headers.get("Connection", "").lower()
    ):
        response = await handler(request)
    _REQUESTS.add(route, str(response.status))
    return response
