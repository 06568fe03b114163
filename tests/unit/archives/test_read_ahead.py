"""What reads ahead of its reader: the same items, the same errors, and no more than it may."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from agent.archives.read_ahead import AHEAD, read_ahead


class Source:
    """A generator of numbers."""

    def __init__(self, count: int, *, error: Exception | None = None) -> None:
        self._count = count
        self._error = error
        self.given = 0
        self.is_closed = False
        self.ending: asyncio.Timeout | None = None

    async def items(self) -> AsyncGenerator[int]:
        try:
            async with asyncio.timeout(None) as self.ending:
                for number in range(self._count):
                    await asyncio.sleep(0)
                    self.given += 1
                    yield number
                if self._error is not None:
                    raise self._error
        finally:
            self.is_closed = True


def test_all_items_in_their_order_and_few_ahead() -> None:
    async def body() -> None:
        source, found = Source(50), []
        async with aclosing(read_ahead(source.items())) as items:
            async for item in items:
                found.append(item)
                await asyncio.sleep(0.001)
                assert source.given <= item + 1 + AHEAD
        assert found == list(range(50)) and source.is_closed

    asyncio.run(body())


def test_an_error_and_a_reader_that_leaves() -> None:
    async def body() -> None:
        source = Source(3, error=ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            async for _ in read_ahead(source.items()):
                pass
        assert source.is_closed
        source = Source(1000)
        async with aclosing(read_ahead(source.items())) as items:
            async for item in items:
                if item == 3:
                    break
        assert source.is_closed and source.given < 10
        async for _ in read_ahead(Source(0).items()):
            raise AssertionError

    asyncio.run(body())


def test_it_is_released_while_its_reader_is_elsewhere() -> None:
    async def body() -> None:
        source = Source(1000)
        async with aclosing(read_ahead(source.items())) as items:
            assert await anext(items) == 0
            await asyncio.sleep(0.01)
            assert source.ending is not None
            source.ending.reschedule(0)
            await asyncio.sleep(0.01)
            assert source.is_closed
            with pytest.raises(TimeoutError):
                await anext(items)

    asyncio.run(body())
