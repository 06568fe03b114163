"""`events`: what happens in the cluster, as it happens."""

import time
from contextlib import aclosing

from aiohttp import web

from engine.cluster.managers import Managers
from engine.server.call import Call, json_line
from engine.server.routes import Route
from engine.translate.events import event_document, event_filter
from engine.translate.prune_filters import moment_ms
from shoal.api.v1.control_pb2 import WatchEventsRequest


class EventHandlers:
    """The operation on events.

    Attributes:
        listeners: clients that follow now.
    """

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self.listeners = 0

    def routes(self) -> list[Route]:
        return [Route("GET", "/events", self.events, "SystemEvents")]

    async def events(self, call: Call) -> web.StreamResponse:
        """From `since` on, as far as events are kept, until `until` or for ever. The head goes out at once."""
        now_ms, keeps = time.time_ns() // 1_000_000, event_filter(call.filters())
        request = WatchEventsRequest()
        if since := call.text("since"):
            request.since_ms = moment_ms(since, now_ms)
        if until := call.text("until"):
            request.until_ms = moment_ms(until, now_ms)
        response = await call.stream()
        self.listeners += 1
        try:
            async with aclosing(self._managers.stream(self._managers.control.WatchEvents, request)) as answers:
                async for answer in answers:
                    document = event_document(answer.event) if answer.HasField("event") else None
                    if document is not None and keeps(document):
                        await response.write(json_line(document))
        finally:
            self.listeners -= 1
        return response
