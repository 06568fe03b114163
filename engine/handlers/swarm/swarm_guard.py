"""The routes of the swarm side, which answer only while it is shown."""

from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus

from aiohttp import web

from engine.cluster.swarm_side import SwarmSide
from engine.protocol.errors import ApiError
from engine.server.call import Call
from engine.server.routes import Handler, Route

NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)


def guarded(routes: Iterable[Route], side: SwarmSide) -> list[Route]:
    """The same routes; while the swarm side is hidden they answer 503, as a Docker host outside a swarm does."""
    return [replace(route, handler=_guard(route.handler, side)) for route in routes]


def _guard(handler: Handler, side: SwarmSide) -> Handler:
    async def guard(call: Call) -> web.StreamResponse:
        if not await side.is_shown():
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, NO_MANAGER)
        return await handler(call)

    return guard
