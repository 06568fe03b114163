"""Keeping events in etcd for a day, while this manager leads: apart from whatever else it does, at a bounded rate."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from manager.control_api.events import Events
from manager.store.backend import OutcomeUnknown
from manager.store.event_archive import EventArchive
from shoal.errors import Exhausted, ShoalError, Timeout, Unavailable

INTERVAL_SECONDS = 5.0
MOST_CHANGES = 2_000
"""That become events in one interval, some 20 ms of work; what a manager remembers beyond waits for the next one."""
MESSAGE_LENGTH = 300
"""Characters of an event's message that are kept: a batch stays below what etcd takes in one request."""
_LAST_SECONDS = 0.5

_log = logging.getLogger(__name__)


class EventWriter:
    """The only writer of the archive, in a leader's term.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        events: Events,
        archive: EventArchive,
        now_ms: Callable[[], int],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._events = events
        self._archive = archive
        self._now_ms = now_ms
        self._interval_seconds = interval_seconds
        self._missing = 0

    async def run(self, fence: int) -> None:
        """Until cancelled; then what has not been kept yet is, if etcd answers at once.

        Raises:
            Deposed: the term is over.
        """
        position = await self._begin()
        try:
            while True:
                await asyncio.sleep(self._interval_seconds)
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
                return self._events.position_after(min(last_ms, self._now_ms()))

    async def _step(self, position: int, fence: int) -> int:
        """Keep what has come; the position after it, or the same one where etcd did not take it."""
        found = await self._events.read(position, MOST_CHANGES)
        missing = self._missing + found.missing
        if found.events:
            for event in found.events:
                event.message = event.message[:MESSAGE_LENGTH]
            try:
                await self._archive.append(found.events, missing, fence=fence, now_ms=self._now_ms())
            except (Unavailable, Timeout, Exhausted, OutcomeUnknown) as error:
                _log.warning("events are not kept for now: %s", error)
                return position
            missing = 0
        self._missing = missing
        return found.position
