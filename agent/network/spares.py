"""How many network namespaces are kept in advance: as many as the largest burst of starts lately, within a bound.

Making one takes a millisecond of a processor, and the kernel's one lock of network configuration; it keeps 170 KiB. So
none is made while containers start, unless none is left, and what a burst has used is made anew when it is over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from agent.network.namespaces import Namespace, NamespacePool
from shoal.errors import Unavailable

MOST = 64
BURST_GAP_SECONDS = 1.0
"""Starts that follow each other more closely are of one burst."""

KEPT_SECONDS = 600.0
"""A burst is forgotten after this time, and the namespaces kept for the next one are given up."""

QUIET_SECONDS = 0.25
_log = logging.getLogger(__name__)


class Demand:
    """How many to keep, from when some were taken. Pure but for what it remembers; times in seconds."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._last = self._peak_at = float("-inf")
        self._burst = self._peak = 0

    def note(self, now: float) -> None:
        """One was taken."""
        self._burst = self._burst + 1 if now - self._last < BURST_GAP_SECONDS else 1
        self._last = now
        if self._burst >= self.wanted(now):
            self._peak, self._peak_at = self._burst, now

    def wanted(self, now: float) -> int:
        """At least the least, at most `MOST` where that is more."""
        peak = self._peak if now - self._peak_at < KEPT_SECONDS else 0
        return max(self._least, min(peak, MOST)) if self._least else 0


class Spares:
    """Hands out namespaces of the pool, and keeps it filled. For the event loop.

    Args:
        in_maker: runs a function in the thread that makes namespaces.
        least: how many are kept in any case; with 0 none is ever made in advance.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        pool: NamespacePool,
        in_maker: Callable[[Callable[[], None]], Awaitable[None]],
        least: int,
        clock: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._in_maker = in_maker
        self._clock = clock
        self._demand = Demand(least)
        self._taken = asyncio.Event()

    async def get(self) -> Namespace:
        """One that is ready, else one that is made now.

        Raises:
            Unavailable: the kernel refused.
        """
        self._demand.note(self._clock())
        self._taken.set()
        while (namespace := self._pool.take()) is None:
            await self._in_maker(lambda: self._pool.fill(1))
        return namespace

    async def run(self) -> None:
        """Keep the pool as it should be, until cancelled."""
        while True:
            await self._quiet()
            try:
                await self._bring_to(self._demand.wanted(self._clock()))
            except Unavailable as error:
                _log.warning("No network namespace could be made in advance: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(KEPT_SECONDS / 10):
                    await self._taken.wait()

    async def _quiet(self) -> None:
        """Wait until none was taken for a moment."""
        while self._taken.is_set():
            self._taken.clear()
            await asyncio.sleep(QUIET_SECONDS)

    async def _bring_to(self, wanted: int) -> None:
        """One at a time; not on with it when a burst begins."""
        while len(self._pool) < wanted and not self._taken.is_set():
            await self._in_maker(lambda: self._pool.fill(wanted))
        while len(self._pool) > wanted and (surplus := self._pool.take()) is not None:
            await self._in_maker(surplus.close)
