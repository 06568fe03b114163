"""/api/feed: the cluster, live. /api/events: what happened, and what happens."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from aiohttp import web

from console.feed.live_feed import LiveFeed
from console.handlers.queries import number_query
from console.handlers.streams import Streams
from console.json_text import encode
from shoal.api.v1.control_pb2 import WatchEventsRequest
from shoal.api.v1.event_pb2 import Event
from shoal.manager_calls.managers import Managers


class FeedHandlers:
    """The two streams of the whole cluster."""

    def __init__(self, feed: LiveFeed, managers: Managers, streams: Streams) -> None:
        self._feed = feed
        self._managers = managers
        self._streams = streams

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        yield web.get("/api/feed", self.feed)
        yield web.get("/api/events", self.events)

    async def feed(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.send_all(request, self._feed.messages())

    async def events(self, request: web.Request) -> web.StreamResponse:
        since_ms = number_query(request, "since", most=2**53)
        return await self._streams.send_all(request, self._events(WatchEventsRequest(since_ms=since_ms)))

    async def _events(self, request: WatchEventsRequest) -> AsyncGenerator[str]:
        async with aclosing(self._managers.stream(self._managers.control.WatchEvents, request)) as responses:
            async for response in responses:
                if response.HasField("event"):
                    yield encode({"type": "event", **_event(response.event)})
                else:
                    yield encode({"type": "warning", "message": response.warning})


def _event(event: Event) -> dict[str, object]:
    return {
        "at": event.at_ms,
        "kind": event.type,
        "action": event.action,
        "id": event.id,
        "name": event.name,
        "service": event.service,
        "node": event.node,
        "stack": event.stack,
        "message": event.message,
    }
