"""A notifier wakes all waiters, and none misses a notification."""

import asyncio

from shoal.notifier import Notifier


def test_the_first_wakeup_is_immediate_and_later_ones_are_coalesced() -> None:
    async def run() -> None:
        notifier = Notifier()
        wakeups = notifier.wakeups()
        await anext(wakeups)
        notifier.notify()
        notifier.notify()
        await anext(wakeups)
        waiting = asyncio.ensure_future(anext(wakeups))
        await asyncio.sleep(0)
        assert not waiting.done()
        notifier.notify()
        await waiting
        await wakeups.aclose()

    asyncio.run(run())


def test_a_wakeup_taken_before_a_check_is_not_missed() -> None:
    async def run() -> None:
        notifier = Notifier()
        wakeup = notifier.wakeup()
        notifier.notify()
        assert wakeup.is_set()
        assert not notifier.wakeup().is_set()

    asyncio.run(run())


def test_all_waiters_are_woken() -> None:
    async def run() -> None:
        notifier = Notifier()
        waiters = [asyncio.ensure_future(notifier.wakeup().wait()) for _ in range(3)]
        await asyncio.sleep(0)
        notifier.notify()
        assert await asyncio.gather(*waiters) == [True] * 3

    asyncio.run(run())
