"""Requests of browsers, by route and status. What no route has is one label: paths have no end."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from shoal.metrics.instruments import Counter
from shoal.telemetry.request_context import new_request, serve

_REQUESTS = Counter("shoal_console_requests", "Requests of browsers, by route and status.", ("route", "status"))


@web.middleware
async def count_requests(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The outermost middleware; calls that a request causes are named after it."""
    serve(new_request())
    response = await handler(request)
    resource = request.match_info.route.resource
    _REQUESTS.add(resource.canonical if resource is not None else "none", str(response.status))
    return response
