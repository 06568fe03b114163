"""A manager whose clock is off does not lead while another one can."""

import asyncio

import pytest

from manager.leadership.clock_comparison import ClockComparison, offset_of_own_clock
from manager.store.changes import Change, delete, put
from manager.store.kinds import MANAGER, MANAGER_CLOCK
from shoal.api.v1.cluster_pb2 import Manager, ManagerClock
from shoal.errors import LeadershipLost
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

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
