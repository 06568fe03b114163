"""`events`: what happens in the cluster, as it happens."""

import asyncio
import time
from contextlib import aclosing

from aiohttp import web

from engine.cluster.own_events import OwnEvents
from engine.server.call import Call, json_line
from engine.server.routes import Route
from engine.translate.events import event_document, event_filter
from engine.translate.prune_filters import moment_ms
from shoal.api.v1.control_pb2 import WatchEventsRequest
from shoal.api.v1.event_pb2 import Event
from shoal.manager_calls.managers import Managers
from shoal.resumption.event_resumption import EventResumption
from shoal.task_group import TaskGroup


class EventHandlers:
    """The operation on events.

    Attributes:
        listeners: clients that follow now.
    """

    def __init__(self, managers: Managers, own: OwnEvents) -> None:
        self._managers = managers
        self._own = own
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

        async def write(event: Event) -> None:
            document = event_document(event)
            if document is not None and keeps(document):
                await response.write(json_line(document))

        async def write_own(queue: asyncio.Queue[Event]) -> None:
            while True:
                await write(await queue.get())

        self.listeners += 1
        try:
            with self._own.listen() as queue:
                async with TaskGroup() as group:
                    own = group.create_task(write_own(queue))
                    resumption = EventResumption(request, started_ms=now_ms)
                    answers = self._managers.resumed_stream(self._managers.control.WatchEvents, resumption)
                    async with aclosing(answers):
                        async for answer in answers:
                            if answer.HasField("event"):
                                await write(answer.event)
                    own.cancel()
        except ExceptionGroup as group_error:
            if group_error.split(ConnectionError)[1] is None:
                raise ConnectionResetError("the client is gone") from group_error
            raise
        finally:
            self.listeners -= 1
        return response
