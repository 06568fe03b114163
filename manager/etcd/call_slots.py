"""Limits how many calls are sent to etcd at once, and how long a write waits for its turn."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from shoal.errors import Unavailable

MAX_IN_FLIGHT = 16
"""Unary calls at once. With 64 the writers starved the watch: its lag grew from 12 to 842 ms."""


class CallSlots:
    """Calls get their turns in order."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(MAX_IN_FLIGHT)

    @asynccontextmanager
    async def turn(self, until: float | None = None) -> AsyncGenerator[None]:
        """Hold one of the slots.

        Args:
            until: when to give up, by the event loop's clock; None: never.
        Raises:
            Unavailable: there was none in time, so nothing was sent.
        """
        try:
            async with asyncio.timeout_at(until):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(
                f"{MAX_IN_FLIGHT} calls wait for etcd's answer, and more are not made; nothing was changed: try again, "
                "and if it stays so, look at etcd with `shoal cluster doctor`"
            ) from None
        try:
            yield
        finally:
            self._free.release()
