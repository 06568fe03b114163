"""Waiting for what nothing announces."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Poll a condition until it holds, by the clock of the event loop, which may be a virtual one.

    Raises:
        TimeoutError: it does not hold in time.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)
