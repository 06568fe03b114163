"""Calls that name no version are tried again where another change was faster."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shoal.errors import Conflict

ATTEMPTS = 5
PAUSE_SECONDS = 0.05
"""Before the second attempt, and as much more before each further one. What the other has written is there by then."""

Result = TypeVar("Result")


async def retried(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """What an attempt returns that reads the records and commits a change of them.

    Raises:
        Conflict: records change faster than this can retry. Whatever else the attempt raises.
    """
    for number in range(1, ATTEMPTS):
        try:
            return await attempt()
        except Conflict:
            await asyncio.sleep(PAUSE_SECONDS * number)
    return await attempt()
