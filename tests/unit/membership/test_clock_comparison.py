"""A manager whose clock is off does not lead while another one can."""

import asyncio
from typing import Any, cast

import pytest

from manager.leadership.clock_comparison import ClockComparison, offset_of_own_clock
from manager.store.changes import Change, delete, put
from manager.store.kinds import MANAGER, MANAGER_CLOCK
from manager.store.record_store import BatchStore
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Manager, ManagerClock
from shoal.errors import LeadershipLost
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.polling import until

NOW_MS = 1_800_000_000_000
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("others", "offset"),
    [
        ([], 0),
        ([4_000], 0),
        ([-HOUR], HOUR),  # Of two that differ, the one that is ahead is taken to be wrong.
        ([HOUR], 0),
        ([100, -200], 0),
        ([HOUR, HOUR + 1], -HOUR),
        ([-HOUR, -HOUR], HOUR),
        ([HOUR, 0], 0),
        ([-HOUR, HOUR], 0),
        ([0, 0, -HOUR, -HOUR], 0),
    ],
)
def test_the_median_is_right(others: list[int], offset: int) -> None:
    assert offset_of_own_clock({str(number): each for number, each in enumerate(others)}) == offset


def clock(name: str, at_ms: int) -> Change:
    return Change(MANAGER_CLOCK, name, None, ManagerClock(manager_id=name, at_ms=at_ms))  # type: ignore[arg-type]  # see KINDS


def test_who_is_off_does_not_lead_while_others_run() -> None:
    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            compared = ClockComparison(store=store, manager_id="m1", now_ms=lambda: NOW_MS)
            await store.commit([put(MANAGER, name, Manager(id=name)) for name in ("m1", "m2", "m3")])
            compared.sample([clock("m2", NOW_MS - HOUR), clock("m3", NOW_MS - HOUR)])
            assert "1:00:00 ahead of the other managers'; check its time" in compared.problem()
            with pytest.raises(LeadershipLost, match="clock"):
                await compared.watch_own_clock()
            await store.commit([delete(MANAGER, "m2"), delete(MANAGER, "m3")])
            assert compared.problem() == "", "there is nobody else to lead"

    asyncio.run(scenario())


def test_a_late_sample_is_not_a_slow_clock() -> None:
    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            compared = ClockComparison(store=store, manager_id="m1", now_ms=lambda: NOW_MS)
            await store.commit([put(MANAGER, name, Manager(id=name)) for name in ("m1", "m2")])
            compared.sample([clock("m2", NOW_MS - 20)])
            compared.sample([clock("m2", NOW_MS - 14_000)])  # This manager was paused, or its watch was silent.
            assert compared.problem() == ""
            for _ in range(3):
                compared.sample([clock("m2", NOW_MS - 14_000)])
            assert "0:00:14 ahead" in compared.problem()

    asyncio.run(scenario())


class SlowStore:
    """Its transactions are applied as soon as a test says so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.tables = store.tables
        self.applied = asyncio.Event()

    def follow(self) -> Any:
        return self._store.follow()

    async def commit(self, writes: Any) -> int:
        return await self._store.commit(writes)

    async def reached(self, revision: int) -> None:
        await self.applied.wait()


def test_what_is_late_on_a_busy_manager_is_not_a_slow_clock() -> None:
    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            slow, passed = SlowStore(store), [0.0]
            compared = ClockComparison(
                store=cast(BatchStore, slow), manager_id="m1", now_ms=lambda: NOW_MS, seconds=lambda: passed[0]
            )
            await store.commit([put(MANAGER, name, Manager(id=name)) for name in ("m1", "m2")])

            def three(late_ms: int) -> str:
                compared.sample([clock("m2", NOW_MS - late_ms) for _ in range(3)])
                return compared.problem()

            assert "0:00:20 ahead" in three(20_000), "its writes are not late"
            running = asyncio.create_task(compared.run())
            await until(lambda: "m1" in store.tables.rows(MANAGER_CLOCK))
            passed[0] = 20.0
            assert three(20_000) == "", "its own write is as late"
            assert "0:00:10 ahead" in three(30_000)
            assert three(-100) == "", "a delay makes no clock faster"
            slow.applied.set()
            await until(lambda: three(20_000) == "")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
