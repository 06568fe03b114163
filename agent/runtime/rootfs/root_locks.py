"""One operation at a time on a kept root file system, to its end even if its caller is cancelled."""

import asyncio
import zlib
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_LOCKS = 64


class ShardedLocks:
    """Locks by id. A few ids may share one, so that their number does not grow with the containers there ever were."""

    def __init__(self) -> None:
        self._locks = [asyncio.Lock() for _ in range(_LOCKS)]

    def of(self, own_id: str) -> asyncio.Lock:
        """The lock of an id; hold no other one meanwhile."""
        return self._locks[zlib.crc32(own_id.encode()) % _LOCKS]


async def complete_in_thread(function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """As `asyncio.to_thread`; on cancellation, wait for its end before it is raised."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **named))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        work.exception()  # nobody else asks for it
        raise
