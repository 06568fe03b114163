"""Wakes all waiters when something has changed."""

import asyncio
from collections.abc import AsyncGenerator


class Notifier:
    """Wakes all waiters. Notifications that arrive while a waiter is busy are coalesced. For one event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake everyone who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    def wakeup(self) -> asyncio.Event:
        """The event that the next notification sets, to wait for with a timeout."""
        return self._event

    async def wakeups(self) -> AsyncGenerator[None]:
        """Yields once immediately, then after each notification."""
        while True:
            event = self._event
            yield
            await event.wait()
