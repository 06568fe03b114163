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
        """Set by the next notification. Take it before checking what has changed, so that none is missed."""
        return self._event

    async def wakeups(self) -> AsyncGenerator[None]:
        """Yields once immediately, then after each notification."""
        while True:
            event = self._event
            yield
            await event.wait()
