"""The first request of every client: which versions are served, and by what."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from engine.server.call import Call
from engine.server.routes import Route
from engine.server.server_headers import SERVER_HEADERS

BUILDER_VERSION = "2"

_NO_CACHE: Mapping[str, str] = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache"}


def ping_routes(*, is_swarm_active: Callable[[], Awaitable[bool]]) -> list[Route]:
    """`_ping`, by both methods."""

    async def headers() -> Mapping[str, str]:
        swarm = "active/manager" if await is_swarm_active() else "inactive"
        return {**SERVER_HEADERS, **_NO_CACHE, "Builder-Version": BUILDER_VERSION, "Swarm": swarm}

    async def ping(_: Call) -> web.StreamResponse:
        return web.Response(body=b"OK", headers={**await headers(), "Content-Type": "text/plain; charset=utf-8"})

    async def ping_head(_: Call) -> web.StreamResponse:
        more = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": "0"}
        return web.Response(headers={**await headers(), **more})

    return [
        Route("GET", "/_ping", ping, "SystemPing"),
        Route("HEAD", "/_ping", ping_head, "SystemPingHead"),
    ]
