"""Several streams as one, as they come. (Those that have an end are merged by time: `shoal.logs.ordered_logs`.)"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")

MAX_QUEUED = 4
"""Items, a quarter of a megabyte each, that wait for a slow reader; the sources then wait too."""


async def interleave(sources: Sequence[AsyncIterator[T]]) -> AsyncGenerator[T]:
    """All items; ends when every source has ended. A source's error is raised."""
    queue: asyncio.Queue[T] = asyncio.Queue(MAX_QUEUED)

    async def forward(source: AsyncIterator[T]) -> None:
        async for item in source:
            await queue.put(item)

    # A generator cannot hold a task group over its yields; `finally` ends what it began.
    carriers = [asyncio.create_task(forward(source)) for source in sources]
    everything = asyncio.gather(*carriers)
    try:
        while not (everything.done() and queue.empty()):
            getting = asyncio.ensure_future(queue.get())
            await asyncio.wait((getting, everything), return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                yield getting.result()
            else:
                getting.cancel()
        everything.result()
    finally:
        for carrier in carriers:
            carrier.cancel()
        await asyncio.gather(everything, *carriers, return_exceptions=True)
