"""Requests of a call are sent in order, and end when the session does."""

import asyncio

from engine.cluster.request_messages import RequestMessages


def test_the_first_one_goes_before_those_that_were_put() -> None:
    async def run() -> list[str]:
        messages = RequestMessages("start", 2)
        await messages.put("a")
        await messages.put("b")
        return [await anext(messages) for _ in range(3)]

    assert asyncio.run(run()) == ["start", "a", "b"]


def test_putting_waits_while_too_many_wait() -> None:
    async def run() -> None:
        messages = RequestMessages("start", 1)
        await messages.put("a")
        waiting = asyncio.ensure_future(messages.put("b"))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert [await anext(messages), await anext(messages)] == ["start", "a"]
        await waiting
        assert await anext(messages) == "b"

    asyncio.run(run())


def test_the_end_drops_what_waits_and_ends_who_sends() -> None:
    async def run() -> list[str]:
        messages = RequestMessages("start", 2)
        await messages.put("a")
        await messages.put("b")
        messages.end()
        async with asyncio.timeout(60):
            return [each async for each in messages]

    assert asyncio.run(run()) == ["start"]


def test_the_end_reaches_who_waits_for_a_message() -> None:
    async def run() -> None:
        messages = RequestMessages("start", 2)
        assert await anext(messages) == "start"
        waiting = asyncio.ensure_future(anext(messages, "ended"))
        await asyncio.sleep(0)
        messages.end()
        async with asyncio.timeout(60):
            assert await waiting == "ended"

    asyncio.run(run())
