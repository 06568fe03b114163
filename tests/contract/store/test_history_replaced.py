"""An etcd that was wiped or restored under a running manager: nothing is written to it, and the manager ends."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from manager.etcd.client import Etcd
from manager.etcd.members import own_member
from manager.etcd.server import EtcdServer, etcd_server
from manager.store.backend import Backend, Delete, HistoryReplaced, Put
from manager.store.changes import put
from manager.store.kinds import EPOCH, ROOT, TASK
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Epoch
from shoal.api.v1.task_pb2 import Task
from shoal.task_group import TaskGroup
from tests.contract.store.rig import Rig, Run
from tests.fakes.faulty_backend import FaultyBackend
from tests.fakes.memory_etcd import MemoryEtcd


async def write(backend: Backend, epoch: str, *tasks: str) -> None:
    """An epoch and some tasks, each at a revision of its own."""
    await backend.txn((), [Put(EPOCH.key(epoch), Epoch(id=epoch).SerializeToString())])
    for task in tasks:
        await backend.txn((), [Put(TASK.key(task), Task(id=task).SerializeToString())])


async def ends_replaced(store: Store, backend: Backend, act: Callable[[], Awaitable[object]], match: str) -> None:
    """Load the store, act; it has to end by itself."""
    running = asyncio.ensure_future(store.run())
    try:
        await store.ready()
        # A write of someone else, so that the watch is known to stand.
        await store.reached((await backend.txn((), [Put(TASK.key("t1"), b"")])).revision)
        await act()
        with pytest.raises(HistoryReplaced, match=match):
            async with asyncio.timeout(60):
                await running
    finally:
        running.cancel()
        await asyncio.wait([running])


async def tasks_in(backend: Backend) -> set[str]:
    listed = await backend.range(ROOT.encode(), b"0")
    return {name for record in listed.records if (name := TASK.identifier(record.key)) is not None}


def test_a_write_is_refused_by_the_history_that_came_instead(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await write(rig.backend, "old", "t1")
        faulty, restored = FaultyBackend(rig.backend), MemoryEtcd()
        await write(restored, "new", *(f"r{number}" for number in range(50)))
        store = Store(backend=faulty)

        async def act() -> None:
            # The watch still stands, so the write itself has to find out.
            faulty.replace_history(restored)
            with pytest.raises(HistoryReplaced, match="nothing was written"):
                await store.commit([put(TASK, "t2", Task(id="t2"))])
            assert "t2" not in await tasks_in(restored)

        await ends_replaced(store, rig.backend, act, "restored or wiped")

    run(scenario)


@pytest.mark.parametrize(
    ("epoch", "records", "match"),
    [("new", 50, "the loaded epoch is missing"), ("old", 1, "restored from an older backup: it is at revision")],
)
def test_a_watch_is_not_resumed_in_another_history(run: Run, epoch: str, records: int, match: str) -> None:
    async def scenario(rig: Rig) -> None:
        await write(rig.backend, "old", "t1", "t2", "t3")
        faulty, restored = FaultyBackend(rig.backend), MemoryEtcd()
        await write(restored, epoch, *(f"r{number}" for number in range(records)))
        store = Store(backend=faulty)

        async def act() -> None:
            faulty.cut_watches()
            faulty.replace_history(restored)
            faulty.mend_watches()

        await ends_replaced(store, rig.backend, act, match)
        assert set(store.tables.tasks) == {"t1", "t2", "t3"}

    run(scenario)


@pytest.mark.parametrize("run", ["memory", "etcd"], indirect=True)  # the restored etcd is ahead of these alone
def test_an_older_record_in_a_listing_shows_a_backup_with_bumped_revisions(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await write(rig.backend, "old", "t1", "t2")
        faulty, restored = FaultyBackend(rig.backend), MemoryEtcd()
        await write(restored, "old", "t1", "t2")
        for number in range(20):  # and so its revision is far ahead
            await restored.txn((), [Put(b"/elsewhere", str(number).encode())])
        restored.compact(restored.revision)
        store = Store(backend=faulty)

        async def act() -> None:
            faulty.cut_watches()
            faulty.replace_history(restored)
            faulty.mend_watches()

        await ends_replaced(store, rig.backend, act, "was changed at revision")

    run(scenario)


def test_the_epoch_deleted_under_us_is_noticed(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await write(rig.backend, "old", "t1")
        store = Store(backend=rig.backend)

        async def act() -> None:
            with store.follow() as changes:
                await rig.backend.txn((), [Delete(TASK.key("t1")), Delete(EPOCH.key("old"))])
                with pytest.raises(TimeoutError):  # a node would delete what a container's record stood for
                    async with asyncio.timeout(0.5):
                        await anext(changes)

        await ends_replaced(store, rig.backend, act, "the epoch record was deleted")

    run(scenario)


def test_before_there_is_an_epoch_everything_is_as_ever(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        store = Store(backend=rig.backend)
        async with TaskGroup() as group:
            running = group.create_task(store.run())
            await store.ready()
            await store.commit([put(TASK, "t1", Task(id="t1"))])
            await store.commit([put(EPOCH, "e", Epoch(id="e"))])
            await store.commit([put(TASK, "t2", Task(id="t2"))])
            assert set(store.tables.tasks) == {"t1", "t2"}
            running.cancel()

    run(scenario)


def test_a_real_etcd_that_was_wiped_is_noticed(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = EtcdServer(tmp_path, unsafe_no_fsync=True)
        async with own_member(server.socket) as members:
            store = Store(backend=Etcd(members=members))
            async with etcd_server(server) as client:
                await write(client, "old", "t1", "t2")
                running = asyncio.ensure_future(store.run())
                await store.ready()
            shutil.rmtree(tmp_path / "etcd")
            async with etcd_server(EtcdServer(tmp_path, unsafe_no_fsync=True)) as client:
                with pytest.raises(HistoryReplaced):
                    async with asyncio.timeout(60):
                        await running
                assert not await tasks_in(client)

    asyncio.run(scenario())
