"""Runs a generator ahead of its reader, and to its end however slow that is."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")

AHEAD = 2


async def read_ahead(items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """The items, at most `AHEAD` of them before they are asked for.

    The generator runs in an asyncio task of its own. If it ends by an error, also one that comes from elsewhere, it has
    released what it uses at once, and not when the reader comes back; the reader gets the error instead of the items
    that are left.
    """
    found: deque[T] = deque()
    changed, has_space = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with aclosing(items):
            async for item in items:
                found.append(item)
                changed.set()
                while len(found) >= AHEAD:
                    has_space.clear()
                    try:
                        await has_space.wait()
                    except asyncio.CancelledError as error:  # by a timeout of the generator perhaps
                        await items.athrow(error)
                        raise

    running = asyncio.create_task(run())
    running.add_done_callback(lambda _: changed.set())
    try:
        while True:
            if running.done() and (running.cancelled() or running.exception() is not None):
                break
            if found:
                item = found.popleft()
                has_space.set()
                yield item
            elif running.done():
                break
            else:
                changed.clear()
                await changed.wait()
        await running
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # nobody else asks for it
