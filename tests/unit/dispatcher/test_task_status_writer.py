"""Statuses that cannot be written: a cache that is behind etcd, for one task, for a while or for ever."""

import asyncio
from collections.abc import Awaitable, Callable

from manager.dispatcher.statuses.task_status_writer import (
    QUARANTINE_ATTEMPTS,
    QUARANTINE_RETRY_SECONDS,
    Batch,
    TaskStatusWriter,
)
from manager.store.backend import Delete, Put
from manager.store.changes import delete, put
from manager.store.kinds import TASK, TASK_STATUS
from manager.store.store import Store
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.errors import ShoalError
from tests.fakes.faulty_backend import FaultyBackend
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.fakes.virtual_time import run_virtual
from tests.polling import until

TASKS = 100


class Sessions:
    """What became of the batches, by node."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.failed: dict[str, ShoalError] = {}

    def batch(self, number: int) -> Batch:
        node_id = f"n{number}"
        status = TaskStatus(task_id=f"t{number}", state=TaskState.RUNNING, at_ms=1)

        def fail(why: ShoalError) -> None:
            self.failed[node_id] = why

        return Batch(node_id, (status,), lambda: self.done.add(node_id), fail)


Scenario = Callable[[MemoryEtcd, FaultyBackend, Store, TaskStatusWriter], Awaitable[None]]


def with_committer(scenario: Scenario) -> None:
    async def run() -> None:
        etcd = MemoryEtcd()
        backend = FaultyBackend(etcd)
        store = Store(backend=backend)
        committer = TaskStatusWriter(store=store)
        running = [asyncio.create_task(store.run())]
        await store.ready()
        tasks = [Task(id=f"t{number}", node_id=f"n{number}", service_id="s") for number in range(TASKS)]
        await store.commit([put(TASK, task.id, task) for task in tasks])
        running.append(asyncio.create_task(committer.run()))
        await scenario(etcd, backend, store, committer)
        for each in running:
            assert not each.done()
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    run_virtual(run())


async def diverge(etcd: MemoryEtcd, backend: FaultyBackend) -> None:
    """Someone else deletes a task, and this manager is not told."""
    backend.cut_watches()
    await asyncio.sleep(0.1)
    await etcd.txn((), [Delete(TASK.key("t7"))])


def test_one_status_that_cannot_be_written_keeps_no_other_waiting_and_its_session_ends() -> None:
    async def scenario(etcd: MemoryEtcd, backend: FaultyBackend, store: Store, committer: TaskStatusWriter) -> None:
        sessions = Sessions()
        await diverge(etcd, backend)
        for number in range(TASKS):
            committer.submit(sessions.batch(number))
        await asyncio.sleep(QUARANTINE_RETRY_SECONDS)
        assert len(sessions.done) == TASKS - 1 and not sessions.failed
        before = etcd.transactions
        await asyncio.sleep((QUARANTINE_ATTEMPTS + 2) * QUARANTINE_RETRY_SECONDS)
        assert set(sessions.failed) == {"n7"}
        assert etcd.transactions - before <= QUARANTINE_ATTEMPTS, "not at a hundred a second"
        assert len(store.tables.task_status) == TASKS - 1

    with_committer(scenario)


def test_a_task_that_is_deleted_while_etcd_is_asked_has_its_status_left_out() -> None:
    """As when a node is removed that has just reported."""

    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            await store.commit(
                [put(TASK, f"t{number}", Task(id=f"t{number}", node_id=f"n{number}")) for number in (7, 8)]
            )

            async def check() -> None:
                if "t7" in store.tables.tasks:
                    await store.commit([delete(TASK, "t7")])

            sessions, committer = Sessions(), TaskStatusWriter(store=store, check_etcd=check)
            running = asyncio.create_task(committer.run())
            for number in (7, 8):
                committer.submit(sessions.batch(number))
            await until(lambda: sessions.done == {"n7", "n8"} or running.done())
            assert not running.done()
            assert [*store.tables.task_status] == ["t8"]
            running.cancel()

    run_virtual(scenario())


def test_it_is_settled_as_soon_as_the_watch_tells() -> None:
    async def scenario(etcd: MemoryEtcd, backend: FaultyBackend, store: Store, committer: TaskStatusWriter) -> None:
        sessions = Sessions()
        await diverge(etcd, backend)
        committer.submit(sessions.batch(7))
        await asyncio.sleep(3 * QUARANTINE_RETRY_SECONDS)
        backend.mend_watches()
        await asyncio.sleep(5 * QUARANTINE_RETRY_SECONDS)
        assert sessions.done == {"n7"} and not sessions.failed and "t7" not in store.tables.tasks

    with_committer(scenario)


def test_what_a_session_left_is_not_written_after_its_end() -> None:
    async def scenario(etcd: MemoryEtcd, backend: FaultyBackend, store: Store, committer: TaskStatusWriter) -> None:
        sessions = Sessions()
        await diverge(etcd, backend)
        committer.submit(sessions.batch(7))
        await asyncio.sleep(QUARANTINE_RETRY_SECONDS)
        committer.discard("n7")
        before = etcd.transactions
        await asyncio.sleep(5 * QUARANTINE_RETRY_SECONDS)
        assert etcd.transactions == before and not sessions.done and not sessions.failed

    with_committer(scenario)


def test_a_status_is_neither_turned_back_nor_left_behind() -> None:
    """Another manager has written a newer one; another one's planner has deleted task and status."""

    async def scenario(etcd: MemoryEtcd, backend: FaultyBackend, store: Store, committer: TaskStatusWriter) -> None:
        sessions = Sessions()
        for number in (1, 2):
            committer.submit(sessions.batch(number))
        await asyncio.sleep(1.0)
        backend.cut_watches()
        await asyncio.sleep(0.1)
        failed = TaskStatus(task_id="t1", state=TaskState.FAILED, at_ms=2)
        await etcd.txn((), [Put(TASK_STATUS.key("t1"), failed.SerializeToString())])
        await etcd.txn((), [Delete(TASK.key("t2")), Delete(TASK_STATUS.key("t2"))])
        for number in (1, 2):
            late = TaskStatus(task_id=f"t{number}", state=TaskState.RUNNING, at_ms=3, health=TaskStatus.HEALTHY)
            committer.submit(Batch(f"n{number}", (late,), lambda: None, lambda _: None))
        await asyncio.sleep(1.0)
        backend.mend_watches()
        await asyncio.sleep(5.0)
        found = (await etcd.read([TASK_STATUS.key("t1"), TASK_STATUS.key("t2")])).records
        assert [TaskStatus.FromString(each.value).state for each in found.values()] == [TaskState.FAILED]

    with_committer(scenario)
