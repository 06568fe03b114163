"""WatchEvents: past events, then new ones as they happen.

Each manager keeps the newest changes in memory; they become events when a client asks for them. Older ones come from
the archive of the last day, which the leader writes in batches: see `event_archiver.py`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from manager.events.event_builder import events_of, observe
from manager.events.recent_changes import RecentChanges
from manager.interfaces import NowMs
from manager.records.object_lookup import find_node, find_service, hostname_of
from manager.store.event_archive import MAX_BYTES, RETENTION_MS
from manager.store.record_store import RecordReader
from shoal.api.v1.control_pb2 import WatchEventsRequest, WatchEventsResponse
from shoal.api.v1.event_pb2 import Event, EventChunk
from shoal.errors import InvalidInput, NotFound, Unavailable
from shoal.notifier import Notifier
from shoal.rpc.caller import Caller

BATCH_CHANGES = 500
"""Changes processed before other work gets its turn."""
MAX_FILTERS = 100
ARCHIVE_READERS = 4
"""Clients that read the archive at a time: each reads some megabytes from etcd; others wait."""


class EventArchiveReader(Protocol):
    """Events of the last day."""

    def read(self, since_ms: int) -> AsyncGenerator[EventChunk, None]:
        """Chunks that may have events from then on, the oldest first. Raises Unavailable."""
        ...


@dataclass(frozen=True)
class EventBatch:
    """Events from a position on.

    Attributes:
        position: after them.
        dropped: earlier changes that are no longer in memory.
    """

    events: Sequence[Event]
    position: int
    dropped: int


class EventLog:
    """The event log of one manager. `run` fills it; any number of clients read it, each at its own pace.

    A client holds nothing but its position: one that falls behind is told how many changes it has missed.
    """

    def __init__(
        self,
        *,
        store: RecordReader,
        now_ms: NowMs,
        archive: EventArchiveReader,
        changes: RecentChanges | None = None,
    ) -> None:
        self._store = store
        self._archive = archive
        self._archive_readers = asyncio.Semaphore(ARCHIVE_READERS)
        self._now_ms = now_ms
        self._changes = changes if changes is not None else RecentChanges()
        self._started_ms = now_ms()
        self._notifier = Notifier()

    async def run(self) -> None:
        """Remember every change from now on, until cancelled."""
        view = self._store.tables
        with self._store.follow() as changes:
            self._started_ms = self._now_ms()
            async for batch in changes:
                at_ms, end = self._now_ms(), self._changes.end
                for change in batch:
                    if (observed := observe(change, view, at_ms)) is not None:
                        self._changes.append(observed)
                if self._changes.end > end:
                    self._notifier.notify()

    async def watch(self, request: WatchEventsRequest, caller: Caller) -> AsyncGenerator[WatchEventsResponse, None]:
        """Events from `since_ms` to `until_ms`, else from now and forever.

        Raises:
            InvalidInput: too many filters, or a period that ends before it begins.
        """
        admits = self._filter(request)
        since_ms = self.complete_since_ms
        position = self._changes.position_at(request.since_ms) if request.since_ms else self._changes.end
        if request.since_ms and request.since_ms < since_ms:
            async with self._archive_readers, aclosing(self._from_archive(request, since_ms)) as responses:
                async for response in responses:
                    if not response.HasField("event") or admits(response.event):
                        yield response
        while True:
            changed = self._notifier.wakeup()
            if position < (oldest := self._changes.begin):
                missed = oldest - position
                yield WatchEventsResponse(warning=f"{missed:,} changes are missing: this client read too slowly")
                position = oldest
            for number, change in self._changes.read(position, BATCH_CHANGES):
                if request.until_ms and change.at_ms > request.until_ms:
                    return
                position = number + 1
                for event in events_of(change, self._store.tables):
                    if admits(event):
                        event.sequence = number
                        yield WatchEventsResponse(event=event)
            if position < self._changes.end:
                await asyncio.sleep(0)
            elif not await self._wait_for_more(changed, request.until_ms):
                return

    def position_after(self, at_ms: int) -> int:
        """The position of the first change after that time, in milliseconds since the Unix epoch."""
        return self._changes.position_at(at_ms + 1)

    async def read(self, position: int, limit: int) -> EventBatch:
        """The events of at most `limit` changes from a position on; other work gets its turn meanwhile."""
        at, dropped, found = position, 0, list[Event]()
        end = min(self._changes.end, max(position, self._changes.begin) + limit)
        while at < end:
            missing = max(0, self._changes.begin - at)
            at, dropped = at + missing, dropped + missing
            for number, change in self._changes.read(at, max(0, min(BATCH_CHANGES, end - at))):
                at = number + 1
                found.extend(events_of(change, self._store.tables))
            await asyncio.sleep(0)
        return EventBatch(found, at, dropped)

    async def _from_archive(
        self, request: WatchEventsRequest, before_ms: int
    ) -> AsyncGenerator[WatchEventsResponse, None]:
        """Events from before this manager's own log begins."""
        begins_ms, dropped = self._now_ms() - RETENTION_MS, 0
        end_ms = min(before_ms - 1, request.until_ms or before_ms)
        try:
            async with aclosing(self._archive.read(request.since_ms)) as chunks:
                async for chunk in chunks:
                    begins_ms, dropped = max(begins_ms, chunk.complete_since_ms), dropped + chunk.dropped
                    for event in chunk.events:
                        if request.since_ms <= event.at_ms <= end_ms:
                            yield WatchEventsResponse(event=event)
        except Unavailable as error:
            yield WatchEventsResponse(warning=f"cannot read events from before this manager started: {error}")
        if dropped:
            yield WatchEventsResponse(
                warning=f"{dropped:,} changes are missing: they arrived faster than events are archived"
            )
        if request.since_ms < begins_ms:
            moment = datetime.fromtimestamp(begins_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            bound = f"one day or {MAX_BYTES >> 20} MiB, whichever comes first"
            yield WatchEventsResponse(
                warning=f"no events from before {moment} are available: events are kept for {bound}"
            )

    async def between(self, since_ms: int, until_ms: int) -> AsyncGenerator[Sequence[Event], None]:
        """The remembered events of a period, excluding its end; other work gets its turn meanwhile."""
        position = self._changes.position_at(max(1, since_ms))
        while changes := self._changes.read(position := max(position, self._changes.begin), BATCH_CHANGES):
            within = [each for _, each in changes if each.at_ms < until_ms]
            if found := [event for each in within for event in events_of(each, self._store.tables)]:
                yield found
            if len(within) < len(changes):
                return
            position += len(changes)
            await asyncio.sleep(0)

    @property
    def complete_since_ms(self) -> int:
        """Since when this manager remembers all changes, in milliseconds since the Unix epoch."""
        since_ms = self._changes.complete_since_ms
        return since_ms if since_ms is not None else self._started_ms

    async def _wait_for_more(self, changed: asyncio.Event, until_ms: int) -> bool:
        """Wait for more; False when the period is over."""
        if not until_ms:
            await changed.wait()
            return True
        left = until_ms - self._now_ms()
        try:
            async with asyncio.timeout(max(0, left) / 1000):
                await changed.wait()
        except TimeoutError:
            return False
        return True

    def _filter(self, request: WatchEventsRequest) -> Callable[[Event], bool]:
        filters = (request.types, request.services, request.nodes, request.stacks, request.actions)
        if sum(map(len, filters)) > MAX_FILTERS:
            raise InvalidInput(f"too many filters; the maximum is {MAX_FILTERS}")
        if request.until_ms and request.until_ms < request.since_ms:
            raise InvalidInput("until must not be before since")
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
            return reference  # it may have been removed, or not exist yet

    def _hostname(self, reference: str) -> str:
        try:
            return hostname_of(self._store.tables, find_node(self._store.tables, reference).meta.id)
        except NotFound:
            return reference
