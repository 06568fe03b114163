"""How many namespaces are kept in advance."""

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

from hypothesis import given
from hypothesis import strategies as st

from agent.network.attachments.namespace_reserve import (
    BURST_GAP_SECONDS,
    IDLE_SECONDS,
    MAX_RESERVE,
    PEAK_MEMORY_SECONDS,
    BurstDemand,
    NamespaceReserve,
)
from agent.network.attachments.namespaces import Namespace, NamespacePool
from shoal.errors import Unavailable
from tests.fakes.virtual_time import run_virtual

T = TypeVar("T")


def demand(*taken_at: float, least: int = 8) -> BurstDemand:
    made = BurstDemand(least)
    for at in taken_at:
        made.record(at)
    return made


def test_the_least_without_bursts() -> None:
    assert demand().target(0) == 8
    assert demand(*(at * BURST_GAP_SECONDS * 2 for at in range(50))).target(100) == 8


def test_a_burst_is_kept_for_the_next_one_and_forgotten_later() -> None:
    burst = demand(*(at / 100 for at in range(50)))
    assert burst.target(1) == 50
    assert burst.target(PEAK_MEMORY_SECONDS - 1) == 50
    assert burst.target(PEAK_MEMORY_SECONDS + 1) == 8


def test_a_smaller_burst_does_not_shorten_the_memory_of_a_larger_one() -> None:
    times = [*(at / 100 for at in range(50)), *(10 + at / 100 for at in range(20))]
    assert demand(*times).target(20) == 50


def test_who_wants_none_gets_none() -> None:
    assert demand(*(at / 100 for at in range(50)), least=0).target(1) == 0


@given(gaps=st.lists(st.floats(0, 100), max_size=200), least=st.integers(0, 256), later=st.floats(0, 2000))
def test_within_its_bounds_whatever_comes(gaps: list[float], least: int, later: float) -> None:
    made, now = BurstDemand(least), 0.0
    for gap in gaps:
        now += gap
        made.record(now)
    assert least <= made.target(now + later) <= max(least, MAX_RESERVE)


class Pool:
    """Namespaces that are nothing."""

    def __init__(self) -> None:
        self.ready = 0
        self.made = 0
        self.refused = False

    def __len__(self) -> int:
        return self.ready

    def acquire(self) -> Namespace | None:
        if not self.ready:
            return None
        self.ready -= 1
        return cast(Namespace, Spare())

    def fill(self, target: int) -> None:
        if self.refused:
            raise Unavailable("no memory")
        if self.ready < target:
            self.ready, self.made = self.ready + 1, self.made + 1


class Spare:
    def close(self) -> None:
        """Nothing is held."""


def test_a_burst_uses_what_is_there_and_is_made_good_when_it_is_over() -> None:
    async def scenario() -> None:
        pool, now = Pool(), asyncio.get_running_loop().time

        async def in_maker(work: Callable[[], T]) -> T:
            await asyncio.sleep(0.001)
            return work()

        reserve = NamespaceReserve(pool=cast(NamespacePool, pool), in_maker=in_maker, minimum=8, clock=now)
        keeping = asyncio.create_task(reserve.run())
        await asyncio.sleep(1)
        assert pool.ready == 8
        for _ in range(8):
            await reserve.acquire()
        assert (pool.ready, pool.made) == (0, 8)
        for _ in range(42):
            await reserve.acquire()
        assert pool.made == 50
        await asyncio.sleep(IDLE_SECONDS * 2 + 1)
        assert pool.ready == 50
        made = pool.made
        for _ in range(50):
            await reserve.acquire()
        assert pool.made == made
        await asyncio.sleep(PEAK_MEMORY_SECONDS * 1.2)
        assert pool.ready == 8
        pool.refused = True
        await reserve.acquire()
        await asyncio.sleep(1)
        pool.refused = False
        await asyncio.sleep(PEAK_MEMORY_SECONDS / 5)
        assert pool.ready == 8
        keeping.cancel()

    run_virtual(scenario())
