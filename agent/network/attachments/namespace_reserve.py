"""Keeps spare network namespaces, as many as the largest recent burst of starts needed, within a limit.

Creating one takes a millisecond of processor time and the kernel's only lock of network configuration; it occupies
170 KiB. So none is created while containers start, unless none is left; the reserve is refilled after the burst.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from agent.network.attachments.namespaces import Namespace, NamespacePool
from agent.network.kernel_threads import RunInThread
from shoal.errors import Unavailable

MAX_RESERVE = 64
BURST_GAP_SECONDS = 1.0
"""Starts that follow each other more closely belong to one burst."""

PEAK_MEMORY_SECONDS = 600.0
"""A burst is forgotten after this time, and the namespaces kept for the next one are released."""

IDLE_SECONDS = 0.25
_log = logging.getLogger(__name__)


class BurstDemand:
    """How many spare namespaces to keep, from the times at which some were acquired. Pure state; times in seconds."""

    def __init__(self, minimum: int) -> None:
        self._minimum = minimum
        self._last = self._peak_at = float("-inf")
        self._burst = self._peak = 0

    def record(self, now: float) -> None:
        """Record that one was acquired."""
        self._burst = self._burst + 1 if now - self._last < BURST_GAP_SECONDS else 1
        self._last = now
        if self._burst >= self.target(now):
            self._peak, self._peak_at = self._burst, now

    def target(self, now: float) -> int:
        """At least the minimum, at most `MAX_SPARES` where that is more."""
        peak = self._peak if now - self._peak_at < PEAK_MEMORY_SECONDS else 0
        return max(self._minimum, min(peak, MAX_RESERVE)) if self._minimum else 0


class NamespaceReserve:
    """Hands out namespaces of the pool, and keeps it filled. For the event loop.

    Args:
        in_maker: runs a function in the thread that creates namespaces.
        minimum: how many are always kept; with 0 none is ever created in advance.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        pool: NamespacePool,
        in_maker: RunInThread,
        minimum: int,
        clock: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._in_maker = in_maker
        self._clock = clock
        self._demand = BurstDemand(minimum)
        self._acquired = asyncio.Event()

    async def acquire(self) -> Namespace:
        """A spare one, otherwise one that is created now.

        Raises:
            Unavailable: the kernel refused.
        """
        self._demand.record(self._clock())
        self._acquired.set()
        while (namespace := self._pool.acquire()) is None:
            await self._in_maker(lambda: self._pool.fill(1))
        return namespace

    async def run(self) -> None:
        """Keep the pool at its target size, until cancelled."""
        while True:
            await self._wait_idle()
            try:
                await self._resize(self._demand.target(self._clock()))
            except Unavailable as error:
                _log.warning("Creating a spare network namespace failed: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(PEAK_MEMORY_SECONDS / 10):
                    await self._acquired.wait()

    async def _wait_idle(self) -> None:
        """Wait until none was acquired for `IDLE_SECONDS`."""
        while self._acquired.is_set():
            self._acquired.clear()
            await asyncio.sleep(IDLE_SECONDS)

    async def _resize(self, target: int) -> None:
        """Create or release one at a time; stop when a burst begins."""
        while len(self._pool) < target and not self._acquired.is_set():
            await self._in_maker(lambda: self._pool.fill(target))
        while len(self._pool) > target and (surplus := self._pool.acquire()) is not None:
            await self._in_maker(surplus.close)
