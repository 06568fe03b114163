"""Retries what must succeed before the agent can start: at boot, names may not resolve and managers may be starting."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from shoal.errors import Busy, Timeout, Unavailable

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def until_success(
    attempt: Callable[[], Awaitable[T]], *, delays: Iterator[float], on_failure: Callable[[str], None]
) -> T:
    """The result of the first successful attempt. Each new reason of a failure is logged and reported.

    Args:
        delays: seconds between attempts; endless.
        on_failure: takes the reason, one line, whenever it changes.
    Raises:
        What an attempt raises, except Busy, Unavailable and Timeout.
    """
    reason = ""
    while True:
        try:
            return await attempt()
        except (Busy, Unavailable, Timeout) as error:
            if str(error) != reason:
                reason = str(error)
                _log.warning("%s; retrying", reason)
                on_failure(reason)
        await asyncio.sleep(next(delays))
