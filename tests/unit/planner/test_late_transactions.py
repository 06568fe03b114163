"""A planner's transaction that etcd makes after the planner has gone on without it: it is refused, whatever it says."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest

from manager.planner.loop import Planner
from manager.store import kinds
from manager.store.backend import Delete, Put
from manager.store.changes import put
from manager.store.plan_sequence import SequencedCommits
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.api.v1.service_pb2 import Service, ServiceRevision, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.errors import Timeout
from shoal.task_group import TaskGroup
from tests.fakes.faulty_backend import FaultyBackend
from tests.fakes.memory_etcd import MemoryEtcd
from tests.polling import until

Scenario = Callable[[Store, FaultyBackend], Awaitable[None]]


def clock() -> int:
    return time.time_ns() // 1_000_000


def run(scenario: Scenario) -> None:
    async def whole() -> None:
        backend = FaultyBackend(MemoryEtcd())
        store = Store(backend=backend)
        async with TaskGroup() as group:
            watching = group.create_task(store.run())
            await store.ready()
            await scenario(store, backend)
            watching.cancel()

    asyncio.run(whole())


async def lead(store: Store) -> int:
    return await store.commit([put(kinds.LEADER, "", Leader(manager_id="m1"))])


async def scale(store: Store, replicas: int, number: int) -> None:
    spec = ServiceSpec(name="web")
    spec.replicated.replicas = replicas
    spec.task.networks.add(network="front")
    await store.commit(
        [
            put(kinds.SERVICE, "web", Service(meta=Meta(id="web"), spec=spec, revision=number, task_revision=1)),
            put(kinds.REVISION, f"web/{number}", ServiceRevision(service_id="web", number=number, spec=spec)),
        ]
    )


async def prepare(store: Store) -> None:
    writes = [put(kinds.NETWORK, "front", Network(meta=Meta(id="front"), spec=NetworkSpec(name="front")))]
    for node in ("n1", "n2", "n3"):
        writes.append(put(kinds.NODE, node, Node(meta=Meta(id=node))))
        writes.append(put(kinds.NODE_STATUS, node, NodeStatus(node_id=node, state=NodeStatus.READY)))
    await store.commit(writes)


async def obey(store: Store) -> None:
    """What agents do: each task runs, or has stopped, as is wanted of it."""
    with store.follow() as changes:
        while True:
            writes = []
            for task in store.tables.tasks.values():
                goal = TaskState.RUNNING if task.desired_state <= TaskState.RUNNING else TaskState.SHUTDOWN
                status = store.tables.task_status.get(task.id)
                if task.node_id and (status is None or status.state < goal):
                    writes.append(
                        put(kinds.TASK_STATUS, task.id, TaskStatus(task_id=task.id, state=goal, at_ms=clock()))
                    )
            if writes:
                await store.commit(writes)
            await anext(changes)


async def returned(store: Store, gone: set[str], back: set[str]) -> None:
    """Collect the tasks that come back after they were deleted."""
    with store.follow() as changes:
        async for batch in changes:
            for change in batch:
                if change.kind is kinds.TASK and change.new is None:
                    gone.add(change.identifier)
                elif change.kind is kinds.TASK and change.identifier in gone:
                    back.add(change.identifier)


def writes_tasks(operations: Sequence[Put | Delete]) -> bool:
    return any(each.key.startswith(kinds.TASK.key("")) for each in operations)


def desired(store: Store) -> list[Task]:
    return [task for task in store.tables.tasks.values() if task.desired_state <= TaskState.RUNNING]


def check(store: Store) -> None:
    """No slot and no address is held twice."""
    slots = Counter(task.slot for task in desired(store))
    addresses = Counter(each.address for task in desired(store) for each in task.addresses)
    assert max(slots.values()) == 1, slots
    assert max(addresses.values()) == 1, addresses


def test_what_comes_late_fills_no_slot_twice_and_brings_nothing_back() -> None:
    async def scenario(store: Store, backend: FaultyBackend) -> None:
        gone: set[str] = set()
        back: set[str] = set()
        await prepare(store)
        fence = await lead(store)
        async with TaskGroup() as group:
            parts = [
                group.create_task(Planner(store=store, clock=clock).run(fence)),
                group.create_task(obey(store)),
                group.create_task(returned(store, gone, back)),
            ]
            for number, replicas in enumerate((2, 6, 1, 6, 0, 4), start=1):
                backend.hold(writes_tasks)
                await scale(store, replicas, number)
                await until(lambda: backend.held == 1 and len(desired(store)) == replicas)  # noqa: B023
                assert await backend.deliver() == [False]
                if replicas:
                    check(store)
            assert not back
            for part in parts:
                part.cancel()

    run(scenario)


def test_what_was_made_though_its_answer_was_lost_is_built_on() -> None:
    async def scenario(store: Store, backend: FaultyBackend) -> None:
        commits = SequencedCommits(store=store, fence=await lead(store))
        await commits.barrier()
        backend.cut_watches()  # so that the change does not come by the watch
        backend.lose_answer(made=True)
        await commits.commit([put(kinds.TASK, "t1", Task(id="t1"))])
        assert "t1" in store.tables.tasks
        await commits.commit([put(kinds.TASK, "t2", Task(id="t2"))])
        backend.mend_watches()

    run(scenario)


def test_nothing_is_committed_in_doubt_before_the_tables_have_all() -> None:
    async def scenario(store: Store, backend: FaultyBackend) -> None:
        commits = SequencedCommits(store=store, fence=await lead(store))
        await commits.barrier()
        backend.hold(writes_tasks)
        with pytest.raises(Timeout):
            await commits.commit([put(kinds.TASK, "t1", Task(id="t1"))])
        assert await backend.deliver() == [True]  # before the planner looks again
        await commits.barrier()
        assert "t1" in store.tables.tasks
        await commits.commit([put(kinds.TASK, "t2", Task(id="t2"))])

    run(scenario)


def test_a_doubt_while_a_doubt_is_settled_is_settled_too() -> None:
    async def scenario(store: Store, backend: FaultyBackend) -> None:
        commits = SequencedCommits(store=store, fence=await lead(store))
        backend.hold(lambda _: True)
        with pytest.raises(Timeout):
            await commits.barrier()
        await commits.barrier()
        assert await backend.deliver() == [True]  # a rewrite of the record alone, which does no harm
        with pytest.raises(Exception, match="an unknown outcome was applied meanwhile"):
            await commits.commit([put(kinds.TASK, "t1", Task(id="t1"))])
        await commits.barrier()
        await commits.commit([put(kinds.TASK, "t1", Task(id="t1"))])
        assert "t1" in store.tables.tasks

    run(scenario)
