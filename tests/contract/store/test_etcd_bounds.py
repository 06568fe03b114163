"""An etcd of someone else that was started without --max-txn-ops: it takes 128 operations in a transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from manager.dispatcher.statuses.node_status_updates import NodeReport, NodeStatusUpdates
from manager.dispatcher.statuses.task_status_writer import Batch, TaskStatusWriter
from manager.etcd.client import Etcd
from manager.etcd.members import cluster_members
from manager.store.changes import ABSENT, expect, put
from manager.store.kinds import NODE, TASK
from manager.store.store import RESERVED_OPERATIONS, Store
from shoal.api.v1.meta_pb2 import GenericResource, Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.errors import Exhausted, InvalidInput
from shoal.task_group import TaskGroup
from tests.contract.store.etcd_cluster import etcd_cluster
from tests.contract.store.rig import running_store
from tests.polling import until

DEFAULT = 128 - RESERVED_OPERATIONS
SMALL = 64 << 10
NODES = [f"n{number:03}" for number in range(200)]
REPORT = NodeReport(NodeDescription(hostname="h", address="192.0.2.1", engine_labels={"l": "x" * 1000}))


def tasks(number: int) -> list[Task]:
    return [Task(id=f"t{each:05}", node_id="n") for each in range(number)]


Run = Callable[[Callable[[Etcd, Store], Awaitable[None]]], None]


def runs(directory: Path, *flags: str) -> Iterator[Run]:
    async def play(scenario: Callable[[Etcd, Store], Awaitable[None]], endpoint: str) -> None:
        async with asyncio.timeout(60), cluster_members([endpoint], None) as members:
            etcd = Etcd(members=members)
            async with running_store(etcd) as store:
                await scenario(etcd, store)

    with etcd_cluster(directory, ["127.0.0.1"], None, *flags) as members:
        yield lambda scenario: asyncio.run(play(scenario, members[0].endpoint))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    yield from runs(tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Run]:
    yield from runs(tmp_path, "--max-txn-ops=1024", f"--max-request-bytes={SMALL}")


def test_limits_are_discovered_and_batches_fit(run: Run) -> None:
    async def scenario(etcd: Etcd, store: Store) -> None:
        await etcd.discover_limits()
        assert store.max_operations == DEFAULT
        await store.commit_in_batches([put(TASK, task.id, task) for task in tasks(1000)])
        assert len(store.tables.tasks) == 1000

    run(scenario)


def test_what_may_not_be_cut_is_refused_with_what_would_help(run: Run) -> None:
    async def scenario(etcd: Etcd, store: Store) -> None:
        await etcd.discover_limits()
        writes = [put(TASK, task.id, task) for task in tasks(DEFAULT + 1)]
        with pytest.raises(InvalidInput, match="start etcd with --max-txn-ops=1024"):
            await store.commit(writes)
        with pytest.raises(InvalidInput, match=f"{DEFAULT + 1} conditions"):
            await store.commit(writes[:1], expects=[expect(TASK, each.identifier, ABSENT) for each in writes])
        await store.commit(writes[:DEFAULT])

    run(scenario)


def test_limits_are_discovered_from_a_refusal(run: Run) -> None:
    async def scenario(etcd: Etcd, store: Store) -> None:
        writes = [put(TASK, task.id, task) for task in tasks(1000)]
        await store.commit_in_batches(writes)
        assert store.max_operations == DEFAULT
        assert len(store.tables.tasks) == 1000

    run(scenario)


def test_an_etcd_that_takes_small_requests_alone_gets_small_ones(small: Run) -> None:
    async def scenario(_: Etcd, store: Store) -> None:
        labelled = [Task(id=f"t{each:05}", generic_resources=[GenericResource(kind="x" * 200)]) for each in range(3000)]
        await store.commit_in_batches([put(TASK, task.id, task) for task in labelled])
        assert len(store.tables.tasks) == 3000
        assert store.max_bytes <= SMALL
        large = Task(id="large", generic_resources=[GenericResource(kind="x" * SMALL)])
        for commit in (store.commit, store.commit_in_batches):
            with pytest.raises(Exhausted, match="--max-request-bytes"):
                await commit([put(TASK, "large", large)])
        assert store.max_bytes > SMALL // 4  # one that cannot be cut says nothing of those that can

    small(scenario)


def test_statuses_of_many_tasks_are_committed(run: Run) -> None:
    async def scenario(etcd: Etcd, store: Store) -> None:
        await etcd.discover_limits()
        await store.commit_in_batches([put(TASK, task.id, task) for task in tasks(300)])
        committer = TaskStatusWriter(store=store)
        done = asyncio.Event()
        running = [TaskStatus(task_id=task.id, state=TaskState.RUNNING) for task in tasks(300)]
        async with TaskGroup() as group:
            committing = group.create_task(committer.run())
            committer.submit(Batch("n", tuple(running), done.set, lambda _: None))
            await until(done.is_set)
            committing.cancel()
        assert len(store.tables.task_status) == 300

    run(scenario)


def test_statuses_and_states_of_nodes_go_in_pieces_that_etcd_takes(small: Run) -> None:
    async def scenario(_: Etcd, store: Store) -> None:
        await store.commit_in_batches([put(TASK, task.id, task) for task in tasks(300)])
        await store.commit_in_batches([put(NODE, each, Node(meta=Meta(id=each))) for each in NODES])
        committer, records = (
            TaskStatusWriter(store=store),
            NodeStatusUpdates(store=store, manager_id="m", now_ms=lambda: 7),
        )
        done = asyncio.Event()
        running = [TaskStatus(task_id=task.id, state=TaskState.RUNNING, message="x" * 500) for task in tasks(300)]
        async with TaskGroup() as group:
            committing = group.create_task(committer.run())
            committer.submit(Batch("n", tuple(running), done.set, lambda _: None))
            await asyncio.gather(*(records.mark_ready(each, REPORT) for each in NODES))
            await until(done.is_set)
            committing.cancel()
        assert len(store.tables.task_status) == 300
        assert all(store.tables.node_status[each].state == NodeStatus.READY for each in NODES)

    small(scenario)
