"""Merges several streams in order of arrival. (Finite streams are merged by time: `shoal.logs.ordered_logs`.)"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")

MAX_QUEUED = 4
"""Items of up to 256 KiB that are buffered for a slow reader; then the sources wait too."""


async def interleave(sources: Sequence[AsyncIterator[T]]) -> AsyncGenerator[T]:
    """All items; ends when every source has ended. A source's error is raised."""
    queue: asyncio.Queue[T] = asyncio.Queue(MAX_QUEUED)

    async def forward(source: AsyncIterator[T]) -> None:
        async for item in source:
            await queue.put(item)

    # A generator cannot hold a task group over its yields; `finally` cancels the tasks.
    tasks = [asyncio.create_task(forward(source)) for source in sources]
    everything = asyncio.gather(*tasks)
    getting: asyncio.Future[T] | None = None
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
        if getting is not None:
            getting.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(everything, *tasks, return_exceptions=True)
