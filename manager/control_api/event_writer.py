"""Keeping events in etcd for a day, while this manager leads: apart from whatever else it does, at a bounded rate.

What happened after the last event that was kept and before this manager's own memory begins, another manager remembers:
a leader that was killed and comes back at once leads again, and saw nothing of the time between.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from manager.control_api.events import Events
from manager.store.backend import OutcomeUnknown
from manager.store.event_archive import KEPT_MS, EventArchive
from shoal.api.v1.event_pb2 import Event
from shoal.errors import Exhausted, NotFound, ShoalError, Timeout, Unavailable

INTERVAL_SECONDS = 5.0
MOST_CHANGES = 2_000
"""That become events in one interval, some 20 ms of work; what a manager remembers beyond waits for the next one."""
MESSAGE_LENGTH = 300
"""Characters of an event's message that are kept: a batch stays below what etcd takes in one request."""
ASK_TIMES = 3
"""How often the other managers are asked for what this one did not see, once an interval."""
_LAST_SECONDS = 0.5

_log = logging.getLogger(__name__)

AskOthers = Callable[[int, int], Awaitable[Sequence[Event]]]
"""`OtherMemories.read`: events since a moment and before another one, milliseconds since the Unix epoch."""


@dataclass
class _Unseen:
    """A period of which neither the archive nor this manager's memory has the events."""

    since_ms: int
    until_ms: int
    tries: int = ASK_TIMES


class EventWriter:
    """The only writer of the archive, in a leader's term.

    Args:
        ask_others: what other managers remember; raises NotFound when there are none, Unavailable when none answers.
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        events: Events,
        archive: EventArchive,
        ask_others: AskOthers,
        now_ms: Callable[[], int],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._events = events
        self._archive = archive
        self._ask_others = ask_others
        self._now_ms = now_ms
        self._interval_seconds = interval_seconds
        self._missing = 0
        self._unseen: _Unseen | None = None
        self._earlier: list[Event] = []

    async def run(self, fence: int) -> None:
        """Until cancelled; then what has not been kept yet is, if etcd answers at once.

        Raises:
            Deposed: the term is over.
        """
        position = await self._begin()
        try:
            while True:
                await self._complete()
                await asyncio.sleep(self._interval_seconds)
                if self._unseen is None:
                    position = await self._step(position, fence)
        except asyncio.CancelledError:
            with suppress(ShoalError, OutcomeUnknown, TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await self._step(position, fence)
            raise

    async def _begin(self) -> int:
        """After the last event that a former leader has kept."""
        while True:
            try:
                last_ms = await self._archive.begin()
            except (Unavailable, Timeout) as error:
                _log.warning("events are not kept yet: %s", error)
                await asyncio.sleep(self._interval_seconds)
            else:
                # Of managers whose clocks differ, the other may have been ahead.
                last_ms = min(last_ms, self._now_ms())
                unseen = _Unseen(max(last_ms + 1, self._now_ms() - KEPT_MS), self._events.remembered_ms)
                self._unseen = unseen if unseen.since_ms < unseen.until_ms else None
                self._earlier = []
                return self._events.position_after(last_ms)

    async def _complete(self) -> None:
        """Ask for what this manager did not see. Nothing is kept before, since events are kept in the order of time."""
        unseen = self._unseen
        if unseen is None:
            return
        unseen.tries -= 1
        try:
            self._earlier = list(await self._ask_others(unseen.since_ms, unseen.until_ms))
            self._unseen = None
        except NotFound:
            self._unseen = None
        except Unavailable as error:
            if not unseen.tries:
                _log.warning("events from before this manager's start may be missing: %s", error)
                self._unseen = None

    async def _step(self, position: int, fence: int) -> int:
        """Keep what has come; the position after it, or the same one where etcd did not take it."""
        while self._earlier:
            if not await self._keep(self._earlier[:MOST_CHANGES], 0, fence):
                return position
            del self._earlier[:MOST_CHANGES]
        found = await self._events.read(position, MOST_CHANGES)
        missing = self._missing + found.missing
        if found.events:
            if not await self._keep(found.events, missing, fence):
                return position
            missing = 0
        self._missing = missing
        return found.position

    async def _keep(self, events: Sequence[Event], missing: int, fence: int) -> bool:
        """Whether etcd has taken them."""
        for event in events:
            event.message = event.message[:MESSAGE_LENGTH]
        try:
            await self._archive.append(events, missing, fence=fence, now_ms=self._now_ms())
        except (Unavailable, Timeout, Exhausted, OutcomeUnknown) as error:
            _log.warning("events are not kept for now: %s", error)
            return False
        return True
