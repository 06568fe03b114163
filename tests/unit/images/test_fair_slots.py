"""Turns that no party holds all of, and locks by key."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.images.fair_slots import FairSlots, KeyedLocks


async def turns(work: list[tuple[str, bool]], *, total: int, each: int) -> list[str]:
    """Parties in the order in which their work began; some of it is cancelled while it waits or runs."""
    slots, began = FairSlots(total=total, each=each), list[str]()
    held: Counter[str] = Counter()

    async def one(party: str) -> None:
        async with slots.hold(party):
            began.append(party)
            held[party] += 1
            assert held[party] <= each and held.total() <= total
            try:
                await asyncio.sleep(0)
            finally:
                held[party] -= 1

    tasks = []
    for party, cancelled in work:
        tasks.append(task := asyncio.create_task(one(party)))
        if cancelled:
            await asyncio.sleep(0)
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(60):
        await asyncio.gather(*(one(party) for party in "abc" for _ in range(each)))
    return began


def test_a_party_that_comes_late_is_next() -> None:
    work = [("a", False)] * 10 + [("b", False)]
    assert asyncio.run(turns(work, total=3, each=2)).index("b") == 2


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30), st.integers(1, 4), st.integers(1, 3))
def test_bounds_hold_and_every_turn_comes_back(work: list[tuple[str, bool]], total: int, each: int) -> None:
    asyncio.run(turns_within_the_test(work, total, each))


async def turns_within_the_test(work: list[tuple[str, bool]], total: int, each: int) -> None:
    """An assertion in a task counts."""
    async with asyncio.timeout(60):
        await turns(work, total=total, each=each)


def test_a_lock_is_one_for_each_key() -> None:
    async def run() -> None:
        locks, order = KeyedLocks(), list[str]()

        async def hold(key: str, name: str, wait: asyncio.Event) -> None:
            async with locks.hold(key):
                order.append(name)
                await wait.wait()

        open_now, later = asyncio.Event(), asyncio.Event()
        open_now.set()
        first = asyncio.create_task(hold("a", "first", later))
        second = asyncio.create_task(hold("a", "second", open_now))
        await asyncio.create_task(hold("b", "other", open_now))
        assert order == ["first", "other"]
        later.set()
        await asyncio.gather(first, second)
        assert order == ["first", "other", "second"]
        with pytest.raises(RuntimeError):
            async with locks.hold("a"):
                raise RuntimeError
        async with locks.hold("a"):
            pass

    asyncio.run(run())
