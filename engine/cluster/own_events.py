"""Events of what an engine does itself and no record says: clients that attach, commands in containers, files that are
copied, images that are pushed."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from engine.translate.events import container_event
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.event_pb2 import Event

MAX_QUEUED = 1000
"""Events that a listener has not taken yet; it misses what comes then."""


class OwnEvents:
    """Brings them to the clients of this engine that listen."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[Event]] = set()

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def report_image(self, name: str, action: str) -> None:
        """Tell of something that was done with an image."""
        event = Event(type="image", action=action, id=name, name=name, at_ms=time.time_ns() // 1_000_000)
        event.attributes["name"] = name
        self._put(event)

    def report(self, view: ContainerView, action: str, **attributes: str) -> None:
        """Tell of something that was done with a container."""
        if self._listeners:
            self._put(container_event(view, action, attributes, at_ms=time.time_ns() // 1_000_000))

    def _put(self, event: Event) -> None:
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(event)

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[Event]]:
        """What is reported from now on."""
        queue: asyncio.Queue[Event] = asyncio.Queue(MAX_QUEUED)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
