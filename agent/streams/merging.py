"""Several streams as one: in the order of time when all have an end, as they come when they go on."""

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

QUEUED = 64
"""Items that wait for a slow reader; the sources then wait too."""


async def in_order(sources: Sequence[AsyncIterator[T]], key: Callable[[T], int]) -> AsyncGenerator[T]:
    """All items, the least key first, if each source has its own in order. Holds one item of each."""
    heap: list[tuple[int, int, T]] = []
    for number, source in enumerate(sources):
        async for item in source:
            heap.append((key(item), number, item))
            break
    heapq.heapify(heap)
    while heap:
        _, number, item = heap[0]
        yield item
        async for following in sources[number]:
            heapq.heapreplace(heap, (key(following), number, following))
            break
        else:
            heapq.heappop(heap)


async def as_they_come(sources: Sequence[AsyncIterator[T]]) -> AsyncGenerator[T]:
    """All items; ends when every source has ended. A source's error is raised."""
    queue: asyncio.Queue[T] = asyncio.Queue(QUEUED)

    async def carry(source: AsyncIterator[T]) -> None:
        async for item in source:
            await queue.put(item)

    # A generator cannot hold a task group over its yields; `finally` ends what it began.
    carriers = [asyncio.create_task(carry(source)) for source in sources]
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
        await asyncio.gather(*carriers, return_exceptions=True)
