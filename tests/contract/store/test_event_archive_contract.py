"""Events of the last day on a real etcd: read in order over many pages, written by the leader alone."""

import pytest

from manager.store.backend import Compare, CompareTarget, Delete, Put, prefix_end
from manager.store.event_archive import CHUNK_MS, PREFIX, EventArchive
from manager.store.kinds import LEADER
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.event_pb2 import Event
from shoal.errors import LeadershipLost
from tests.contract.store.rig import Rig, Run, running_store

BEGIN_MS = 1_700_000_000_000


async def elect(rig: Rig) -> int:
    await rig.backend.txn((), [Delete(LEADER.key(""))])
    absent = Compare(LEADER.key(""), CompareTarget.CREATED_AT, 0)
    return (await rig.backend.txn([absent], [Put(LEADER.key(""), Leader(manager_id="m").SerializeToString())])).revision


def test_what_one_leader_kept_the_next_one_and_every_reader_finds(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        fence = await elect(rig)
        archive = EventArchive(rig.backend)
        assert await archive.load() == 0
        times = range(BEGIN_MS, BEGIN_MS + 40 * CHUNK_MS, CHUNK_MS // 2)
        for at_ms in times:
            await archive.append([Event(name="x", at_ms=at_ms)], 0, fence=fence, now_ms=at_ms)
        reader = EventArchive(rig.backend)
        assert [event.at_ms async for chunk in reader.read(0) for event in chunk.events] == list(times)
        following = EventArchive(rig.backend)
        assert await following.load() == times[-1]
        later = await elect(rig)
        with pytest.raises(LeadershipLost):
            await archive.append([Event(name="late", at_ms=times[-1])], 0, fence=fence, now_ms=times[-1])
        await following.append([Event(name="y", at_ms=times[-1])], 0, fence=later, now_ms=times[-1])
        last = [event.name async for chunk in reader.read(times[-1]) for event in chunk.events]
        assert last[-2:] == ["x", "y"]

    run(scenario)


def test_the_store_does_not_see_the_archive(run: Run) -> None:
    """So that events cost no manager memory, and none of them hears of each batch."""

    async def scenario(rig: Rig) -> None:
        fence = await elect(rig)
        archive = EventArchive(rig.backend)
        await archive.load()
        async with running_store(rig.backend) as store:
            with store.follow() as changes:
                await archive.append([Event(name="x", at_ms=BEGIN_MS)], 0, fence=fence, now_ms=BEGIN_MS)
                await store.transact((), [Put(LEADER.key(""), Leader(manager_id="n").SerializeToString())])
                batch = await anext(changes)
                assert [change.kind for change in batch] == [LEADER]
        assert (await rig.backend.range(PREFIX.encode(), prefix_end(PREFIX.encode()))).records

    run(scenario)
