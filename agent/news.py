"""One bell for all who wait for anything to change."""

import asyncio
from collections.abc import AsyncGenerator


class News:
    """Rings that come while a listener is busy are one."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Something is different."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def rounds(self) -> AsyncGenerator[None]:
        """Once now, and again after each ring."""
        while True:
            rung = self._rung
            yield
            await rung.wait()
