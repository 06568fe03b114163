"""Runs a blocking function in a thread and waits for it even when cancelled."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(function: Callable[[], Result], *, on_cancel: Callable[[], None] = lambda: None) -> Result:
    """The result of a blocking function.

    Args:
        on_cancel: called on cancellation, to make the function return early; its return is awaited in any case.
    Raises:
        What the function raises; after a cancellation its errors are dropped.
    """
    running = asyncio.create_task(asyncio.to_thread(function))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        on_cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # marks it as seen
        raise
