"""What has to succeed before the agent can work, and may not yet: at boot names do not resolve, managers start too."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from shoal.errors import Busy, Timeout, Unavailable

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def patiently(attempt: Callable[[], Awaitable[T]], *, pauses: Iterator[float], tell: Callable[[str], None]) -> T:
    """The result of the first attempt that succeeds. Each reason why one does not is logged once, and told.

    Args:
        pauses: seconds between attempts, without end.
        tell: takes the reason, one line, whenever it is another one.
    Raises:
        What an attempt raises that trying again does not mend: anything but Busy, Unavailable and Timeout.
    """
    reason = ""
    while True:
        try:
            return await attempt()
        except (Busy, Unavailable, Timeout) as error:
            if str(error) != reason:
                reason = str(error)
                _log.warning("%s; it is tried again until it works", reason)
                tell(reason)
        await asyncio.sleep(next(pauses))
