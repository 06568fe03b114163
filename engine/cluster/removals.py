"""Removals that are complete when they are answered, as Docker's are: nodes delete data or leave networks meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from shoal.errors import NotFound

WAIT_SECONDS = 10.0
"""A node that is down deletes nothing: the removal is answered then, and completed when it is back."""
_POLL_SECONDS = 0.05


async def wait_until_gone(find: Callable[[], Awaitable[object]]) -> None:
    """Return once an object is not found any more, or after a while.

    Args:
        find: raises NotFound when it is gone.
    """
    with suppress(NotFound, TimeoutError):
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                await find()
                await asyncio.sleep(_POLL_SECONDS)
