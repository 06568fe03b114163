"""/api/feed: the cluster, live. /api/events: what happened, and what happens. /api/usage: what tasks use."""

import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from aiohttp import web

from console.feed.live_feed import LiveFeed
from console.handlers.queries import number_query
from console.handlers.streams import Streams
from console.json_text import encode
from shoal.api.v1.control_pb2 import StatsRequest, StatsResponse, TaskStats, WatchEventsRequest
from shoal.api.v1.event_pb2 import Event
from shoal.errors import InvalidInput
from shoal.manager_calls.managers import Managers
from shoal.resumption.event_resumption import EventResumption
from shoal.resumption.repeated_request import RepeatedRequest

USAGE_MS = 2000


class FeedHandlers:
    """Streams of what changes, which go on at another manager when one fails."""

    def __init__(self, feed: LiveFeed, managers: Managers, streams: Streams) -> None:
        self._feed = feed
        self._managers = managers
        self._streams = streams

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        yield web.get("/api/feed", self.feed)
        yield web.get("/api/events", self.events)
        yield web.get("/api/usage", self.usage)

    async def feed(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.send_all(request, self._feed.messages())

    async def events(self, request: web.Request) -> web.StreamResponse:
        since_ms = number_query(request, "since", most=2**53)
        return await self._streams.send_all(request, self._events(WatchEventsRequest(since_ms=since_ms)))

    async def usage(self, request: web.Request) -> web.StreamResponse:
        """Of `target`, a service or a task, else of the tasks on `node`: what each uses, every two seconds."""
        target, node = request.query.get("target", ""), request.query.get("node", "")
        if bool(target) == bool(node):
            raise InvalidInput("give either target or node")
        call = StatsRequest(targets=[target] if target else [], node=node, interval_ms=USAGE_MS, counters=True)
        return await self._streams.send_all(request, self._usage(call))

    async def _usage(self, request: StatsRequest) -> AsyncGenerator[str]:
        resumption: RepeatedRequest[StatsRequest, StatsResponse] = RepeatedRequest(request)
        async with aclosing(self._managers.resumed_stream(self._managers.control.Stats, resumption)) as responses:
            async for response in responses:
                tasks = [_usage_row(each) for each in response.tasks]
                yield encode({"type": "usage", "tasks": tasks, "warnings": list(response.warnings)})

    async def _events(self, request: WatchEventsRequest) -> AsyncGenerator[str]:
        resumption = EventResumption(request, started_ms=time.time_ns() // 1_000_000)
        async with aclosing(self._managers.resumed_stream(self._managers.control.WatchEvents, resumption)) as responses:
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


def _usage_row(stats: TaskStats) -> dict[str, object]:
    """CPUs in thousandths, memory and traffic in bytes, the latter since the container's start."""
    links = stats.counters.links
    return {
        "id": stats.task_id,
        "name": stats.name,
        "node": stats.node_hostname,
        "cpus": stats.nano_cpus / 1_000_000,
        "memory": stats.memory_bytes,
        "received": sum(each.received_bytes for each in links),
        "sent": sum(each.sent_bytes for each in links),
    }
