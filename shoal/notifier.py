"""Wakes all waiters when something has changed."""

import asyncio
from collections.abc import AsyncGenerator


class Notifier:
    """Notifications that arrive while a waiter is busy are coalesced."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Something is different."""
        self._event.set()
        self._event = asyncio.Event()

    async def wakeups(self) -> AsyncGenerator[None]:
        """Once now, and again after each notification."""
        while True:
            rung = self._event
            yield
            await rung.wait()
