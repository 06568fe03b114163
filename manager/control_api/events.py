"""WatchEvents: what has happened, and what happens.

Each manager keeps the newest changes in memory; they become events when somebody asks. What is older than that memory
comes from the archive of the last day, which the leader writes in batches: see `event_writer.py`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol

from manager.control_api.event_words import Seen, events_of, see
from manager.control_api.lookup import find_node, find_service, hostname_of
from manager.control_api.seams import NowMs, Records
from manager.store.event_archive import KEPT_MS, MOST_BYTES
from shoal.api.v1.control_pb2 import WatchEventsRequest, WatchEventsResponse
from shoal.api.v1.event_pb2 import Event, EventChunk
from shoal.errors import InvalidInput, NotFound, Unavailable

KEPT = 10_000
"""Changes that are remembered; a few megabytes."""
AT_ONCE = 500
"""Changes looked at before others get their turn."""
MAX_FILTERS = 100


ARCHIVE_READERS = 4
"""At a time: each reads some megabytes from etcd; the others wait."""


class Archive(Protocol):
    """Events of the last day."""

    def read(self, since_ms: int) -> AsyncGenerator[EventChunk, None]:
        """Chunks that may have events from then on, the oldest first. Raises Unavailable."""
        ...


@dataclass(frozen=True)
class Found:
    """Events from a position on.

    Attributes:
        position: after them.
        missing: changes before them that are forgotten.
    """

    events: Sequence[Event]
    position: int
    missing: int


class Events:
    """The memory of one manager. `run` fills it; any number of readers read it, each at its own pace.

    A reader holds nothing but its position: one that falls behind the memory is told how much it has missed.
    """

    def __init__(self, *, store: Records, now_ms: NowMs, archive: Archive, kept: int = KEPT) -> None:
        self._store = store
        self._archive = archive
        self._archive_readers = asyncio.Semaphore(ARCHIVE_READERS)
        self._now_ms = now_ms
        self._seen: deque[Seen] = deque(maxlen=kept)
        self._count = 0
        self._began_ms = now_ms()
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Remember every change from now on, until cancelled."""
        view = self._store.tables
        with self._store.follow() as changes:
            self._began_ms = self._now_ms()
            async for batch in changes:
                at_ms = self._now_ms()
                news = [seen for change in batch if (seen := see(change, view, at_ms)) is not None]
                self._seen.extend(news)
                self._count += len(news)
                if news:
                    self._news.set()
                    self._news = asyncio.Event()

    async def watch(self, request: WatchEventsRequest) -> AsyncGenerator[WatchEventsResponse, None]:
        """Events from `since_ms` to `until_ms`, else from now and for ever.

        Raises:
            InvalidInput: too many filters, or a period that ends before it begins.
        """
        admits = self._filter(request)
        position, remembered_ms = self._start(request.since_ms), self.remembered_ms
        if request.since_ms and request.since_ms < remembered_ms:
            async with self._archive_readers, aclosing(self._archived(request, remembered_ms)) as responses:
                async for response in responses:
                    if not response.HasField("event") or admits(response.event):
                        yield response
        while True:
            news = self._news
            if position < (oldest := self._count - len(self._seen)):
                missed = oldest - position
                yield WatchEventsResponse(warning=f"{missed:,} changes are missing: they were not read in time")
                position = oldest
            for number, seen in self._from(position):
                if request.until_ms and seen.at_ms > request.until_ms:
                    return
                position = number + 1
                for event in events_of(seen, self._store.tables):
                    if admits(event):
                        event.number = number
                        yield WatchEventsResponse(event=event)
            if position < self._count:
                await asyncio.sleep(0)
            elif not await self._more(news, request.until_ms):
                return

    def position_after(self, at_ms: int) -> int:
        """Where `read` begins with what happened later than that, milliseconds since the Unix epoch."""
        return self._start(at_ms + 1)

    async def read(self, position: int, most: int) -> Found:
        """The events of at most so many changes from a position on; others get their turn meanwhile."""
        begin = max(position, self._count - len(self._seen))
        end, at, found = min(self._count, begin + most), begin, list[Event]()
        while at < end:
            for number, seen in self._from(at)[: end - at]:
                at = number + 1
                found.extend(events_of(seen, self._store.tables))
            await asyncio.sleep(0)
        return Found(found, max(at, position), begin - position)

    async def _archived(self, request: WatchEventsRequest, before_ms: int) -> AsyncGenerator[WatchEventsResponse, None]:
        """What happened before this manager's own memory begins."""
        begins_ms, missing = self._now_ms() - KEPT_MS, 0
        end_ms = min(before_ms - 1, request.until_ms or before_ms)
        try:
            async with aclosing(self._archive.read(request.since_ms)) as chunks:
                async for chunk in chunks:
                    begins_ms, missing = max(begins_ms, chunk.begins_ms), missing + chunk.missing
                    for event in chunk.events:
                        if request.since_ms <= event.at_ms <= end_ms:
                            yield WatchEventsResponse(event=event)
        except Unavailable as error:
            yield WatchEventsResponse(warning=f"events from before this manager's start cannot be read: {error}")
        if missing:
            yield WatchEventsResponse(warning=f"{missing:,} changes are missing: they came faster than they are kept")
        if request.since_ms < begins_ms:
            moment = datetime.fromtimestamp(begins_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            bound = f"a day, of {MOST_BYTES >> 20} MiB at most"
            yield WatchEventsResponse(warning=f"there are no events from before {moment}: they are kept for {bound}")

    async def between(self, since_ms: int, until_ms: int) -> AsyncGenerator[Sequence[Event], None]:
        """The remembered events of a period, until before its end; others get their turn meanwhile."""
        position = self._start(max(1, since_ms))
        while seen := self._from(position := max(position, self._count - len(self._seen))):
            within = [each for _, each in seen if each.at_ms < until_ms]
            if found := [event for each in within for event in events_of(each, self._store.tables)]:
                yield found
            if len(within) < len(seen):
                return
            position += len(seen)
            await asyncio.sleep(0)

    @property
    def remembered_ms(self) -> int:
        """Since when this manager remembers every change, milliseconds since the Unix epoch."""
        return self._seen[0].at_ms if self._count > len(self._seen) else self._began_ms

    def _from(self, position: int) -> list[tuple[int, Seen]]:
        start = max(0, position - (self._count - len(self._seen)))
        return [(position + index, seen) for index, seen in enumerate(islice(self._seen, start, start + AT_ONCE))]

    def _start(self, since_ms: int) -> int:
        if not since_ms:
            return self._count
        return self._count - sum(1 for _ in self._newer(since_ms))

    def _newer(self, since_ms: int) -> Iterator[Seen]:
        for seen in reversed(self._seen):
            if seen.at_ms < since_ms:
                return
            yield seen

    async def _more(self, news: asyncio.Event, until_ms: int) -> bool:
        """Wait for more; False when the period is over."""
        if not until_ms:
            await news.wait()
            return True
        left = until_ms - self._now_ms()
        try:
            async with asyncio.timeout(max(0, left) / 1000):
                await news.wait()
        except TimeoutError:
            return False
        return True

    def _filter(self, request: WatchEventsRequest) -> Callable[[Event], bool]:
        wanted = (request.types, request.services, request.nodes, request.stacks, request.actions)
        if sum(map(len, wanted)) > MAX_FILTERS:
            raise InvalidInput(f"at most {MAX_FILTERS} filters are allowed")
        if request.until_ms and request.until_ms < request.since_ms:
            raise InvalidInput("the period ends before it begins")
        types, stacks, actions = set(request.types), set(request.stacks), set(request.actions)
        services = {self._service_name(reference) for reference in request.services}
        nodes = {self._hostname(reference) for reference in request.nodes}

        def admits(event: Event) -> bool:
            return (
                (not types or event.type in types)
                and (not services or event.service in services)
                and (not nodes or event.node in nodes)
                and (not stacks or event.stack in stacks)
                and (not actions or event.action in actions)
            )

        return admits

    def _service_name(self, reference: str) -> str:
        try:
            return find_service(self._store.tables, reference).spec.name
        except NotFound:
            return reference  # it may be gone, or not be there yet

    def _hostname(self, reference: str) -> str:
        try:
            return hostname_of(self._store.tables, find_node(self._store.tables, reference).meta.id)
        except NotFound:
            return reference
