"""An etcd of someone else that was started without --max-txn-ops: it takes 128 operations in a transaction."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from manager.dispatcher.statuses import Batch, StatusCommitter
from manager.store.changes import ABSENT, expect, put
from manager.store.etcd import Etcd
from manager.store.etcd_channel import cluster_members
from manager.store.kinds import TASK
from manager.store.store import RESERVED_OPERATIONS, Store
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.errors import Exhausted, InvalidInput
from shoal.task_group import TaskGroup
from tests.contract.store.etcd_cluster import etcd_cluster
from tests.contract.store.rig import running_store, until

DEFAULT = 128 - RESERVED_OPERATIONS
SMALL = 64 << 10


def tasks(number: int) -> list[Task]:
    return [Task(id=f"t{each:05}", node_id="n") for each in range(number)]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Etcd, Store], Awaitable[None]]], None]:
    async def play(scenario: Callable[[Etcd, Store], Awaitable[None]], endpoint: str) -> None:
        async with asyncio.timeout(30), cluster_members([endpoint], None) as members:
            etcd = Etcd(members=members)
            async with running_store(etcd) as store:
                await scenario(etcd, store)

    def start(scenario: Callable[[Etcd, Store], Awaitable[None]]) -> None:
        with etcd_cluster(tmp_path, ["127.0.0.1"], None) as members:
            asyncio.run(play(scenario, members[0].endpoint))

    return start


Run = Callable[[Callable[[Etcd, Store], Awaitable[None]]], None]


def test_bounds_are_learned_and_batches_fit(run: Run) -> None:
    async def scenario(etcd: Etcd, store: Store) -> None:
        await etcd.learn_bounds()
        assert store.max_operations == DEFAULT
        await store.commit_in_batches([put(TASK, task.id, task) for task in tasks(1000)])
        assert len(store.tables.tasks) == 1000

    run(scenario)


def test_what_may_not_be_cut_is_refused_with_what_would_help(run: Run) -> None:
    async def scenario(etcd: Etcd, store: Store) -> None:
        await etcd.learn_bounds()
        writes = [put(TASK, task.id, task) for task in tasks(DEFAULT + 1)]
        with pytest.raises(InvalidInput, match="start etcd with --max-txn-ops=1024"):
            await store.commit(writes)
        with pytest.raises(InvalidInput, match=f"{DEFAULT + 1} conditions"):
            await store.commit(writes[:1], expects=[expect(TASK, each.identifier, ABSENT) for each in writes])
        await store.commit(writes[:DEFAULT])

    run(scenario)


def test_bounds_are_learned_from_a_refusal(run: Run) -> None:
    async def scenario(etcd: Etcd, store: Store) -> None:
        writes = [put(TASK, task.id, task) for task in tasks(1000)]
        await store.commit_in_batches(writes)
        assert store.max_operations == DEFAULT
        assert len(store.tables.tasks) == 1000

    run(scenario)


def test_an_etcd_that_takes_small_requests_alone_gets_small_ones(tmp_path: Path) -> None:
    async def scenario(endpoint: str) -> None:
        async with (
            asyncio.timeout(30),
            cluster_members([endpoint], None) as members,
            running_store(Etcd(members=members)) as store,
        ):
            labelled = [Task(id=f"t{each:05}", generic=[GenericResource(kind="x" * 200)]) for each in range(3000)]
            await store.commit_in_batches([put(TASK, task.id, task) for task in labelled])
            assert len(store.tables.tasks) == 3000
            assert store.max_bytes <= SMALL
            large = Task(id="large", generic=[GenericResource(kind="x" * SMALL)])
            for commit in (store.commit, store.commit_in_batches):
                with pytest.raises(Exhausted, match="--max-request-bytes"):
                    await commit([put(TASK, "large", large)])
            assert store.max_bytes > SMALL // 4  # one that cannot be cut says nothing of those that can

    flags = ("--max-txn-ops=1024", f"--max-request-bytes={SMALL}")
    with etcd_cluster(tmp_path, ["127.0.0.1"], None, *flags) as members:
        asyncio.run(scenario(members[0].endpoint))


def test_statuses_of_many_tasks_are_committed(run: Run) -> None:
    async def scenario(etcd: Etcd, store: Store) -> None:
        await etcd.learn_bounds()
        await store.commit_in_batches([put(TASK, task.id, task) for task in tasks(300)])
        committer = StatusCommitter(store=store)
        done = asyncio.Event()
        running = [TaskStatus(task_id=task.id, state=TaskState.RUNNING) for task in tasks(300)]
        async with TaskGroup() as group:
            committing = group.create_task(committer.run())
            committer.submit(Batch("n", tuple(running), done.set, lambda _: None))
            await until(done.is_set)
            committing.cancel()
        assert len(store.tables.task_status) == 300

    run(scenario)
