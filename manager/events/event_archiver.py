"""Archives events in etcd for a day while this manager leads, at a bounded rate and apart from all other work.

Events after the last archived one and before this manager's own log begins are read from another manager: a leader that
was killed and restarts at once leads again, and has not seen the changes in between.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from manager.events.event_log import EventLog
from manager.store.backend import OutcomeUnknown, RequestTooLarge
from manager.store.event_archive import RETENTION_MS, EventArchive
from shoal.api.v1.event_pb2 import Event
from shoal.errors import Exhausted, NotFound, ShoalError, Timeout, Unavailable

INTERVAL_SECONDS = 5.0
MAX_CHANGES = 2_000
"""Changes that become events in one interval, some 20 ms of work; the others wait for the next one. Fewer where those
are more than etcd accepts in one request."""
MESSAGE_LENGTH = 300
"""Characters of an event's message that are archived."""
MAX_EVENT_BYTES = 32 << 10
"""Of an event that is larger the attributes are not archived: labels of a container may have many times that."""
GAP_ATTEMPTS = 3
"""How often other managers are asked for events of a gap, once an interval."""
FLUSH_SECONDS = 2.0
"""For the last events of a term, as long as etcd has to end its lease: on a slow disk a write takes a second."""

_log = logging.getLogger(__name__)

ReadFromPeers = Callable[[int, int], Awaitable[Sequence[Event]]]
"""`PeerEvents.read`: events since a moment and before another one, milliseconds since the Unix epoch."""


@dataclass
class _Gap:
    """A period whose events are neither in the archive nor in this manager's event log."""

    since_ms: int
    until_ms: int
    attempts_left: int = GAP_ATTEMPTS


class EventArchiver:
    """The only writer of the archive, in a leader's term.

    Args:
        read_from_peers: what other managers remember. Raises NotFound: there are none. Unavailable: none responds.
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        events: EventLog,
        archive: EventArchive,
        read_from_peers: ReadFromPeers,
        now_ms: Callable[[], int],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._events = events
        self._archive = archive
        self._read_from_peers = read_from_peers
        self._now_ms = now_ms
        self._interval_seconds = interval_seconds
        self._dropped = 0
        self._limit = MAX_CHANGES
        self._gap: _Gap | None = None
        self._recovered: list[Event] = []

    async def run(self, fence: int) -> None:
        """Until cancelled; then the remaining events are archived, if etcd responds soon.

        Raises:
            LeadershipLost: the term is over.
        """
        position = await self._start_position()
        try:
            while True:
                await self._fill_gap()
                await asyncio.sleep(self._interval_seconds)
                if self._gap is None:
                    position = await self._archive_next(position, fence)
        except asyncio.CancelledError:
            with suppress(ShoalError, OutcomeUnknown, TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._archive_next(position, fence)
            raise

    async def _start_position(self) -> int:
        """The position after the last event that a previous leader archived."""
        while True:
            try:
                last_ms = await self._archive.load()
            except (Unavailable, Timeout) as error:
                _log.warning("cannot start archiving events, will retry: %s", error)
                await asyncio.sleep(self._interval_seconds)
            else:
                # Of managers whose clocks differ, the other may have been ahead.
                last_ms = min(last_ms, self._now_ms())
                gap = _Gap(max(last_ms + 1, self._now_ms() - RETENTION_MS), self._events.complete_since_ms)
                self._gap = gap if gap.since_ms < gap.until_ms else None
                self._recovered = []
                return self._events.position_after(last_ms)

    async def _fill_gap(self) -> None:
        """Fetch the events of the gap from other managers. Nothing is archived before that, to keep the order."""
        gap = self._gap
        if gap is None:
            return
        gap.attempts_left -= 1
        try:
            self._recovered = list(await self._read_from_peers(gap.since_ms, gap.until_ms))
            self._gap = None
        except NotFound:
            self._gap = None
        except Unavailable as error:
            if not gap.attempts_left:
                _log.warning("events from before this manager started may be missing: %s", error)
                self._gap = None

    async def _archive_next(self, position: int, fence: int) -> int:
        """Archive new events; returns the position after them, or the same one if etcd did not accept them."""
        while self._recovered:
            events = self._recovered[: self._limit]
            if not await self._append(events, 0, fence):
                return position
            del self._recovered[: len(events)]
        found = await self._events.read(position, self._limit)
        dropped = self._dropped + found.dropped
        if found.events:
            if not await self._append(found.events, dropped, fence):
                return position
            dropped = 0
        self._dropped = dropped
        return found.position

    async def _append(self, events: Sequence[Event], dropped: int, fence: int) -> bool:
        """Whether etcd accepted them."""
        for event in events:
            event.message = event.message[:MESSAGE_LENGTH]
            if event.ByteSize() > MAX_EVENT_BYTES:
                event.attributes.clear()
        try:
            await self._archive.append(events, dropped, fence=fence, now_ms=self._now_ms())
        except RequestTooLarge as error:
            self._limit = max(1, self._limit // 2)
            _log.info("cannot archive so many events at once, will retry with fewer: %s", error)
            return False
        except (Unavailable, Timeout, Exhausted, OutcomeUnknown) as error:
            _log.warning("cannot archive events, will retry: %s", error)
            return False
        self._limit = min(MAX_CHANGES, 2 * self._limit)
        return True
