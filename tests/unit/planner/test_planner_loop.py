"""The planner's loop over the real store with etcd in memory: it follows changes, wakes when due, and is fenced."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from manager.planner.incremental_planner import IncrementalPlanner
from manager.planner.loop import FULL_PASS_SECONDS, Planner
from manager.store import kinds
from manager.store.changes import put
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.api.v1.service_pb2 import (
    Replicated,
    ReplicatedJob,
    RestartPolicy,
    Schedule,
    Service,
    ServiceRevision,
    ServiceSpec,
    TaskTemplate,
)
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.errors import LeadershipLost
from shoal.task_group import TaskGroup
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.fakes.virtual_time import run_virtual
from tests.polling import until


def clock() -> int:
    return time.time_ns() // 1_000_000


def run(scenario: Callable[[Store, MemoryEtcd], Awaitable[None]]) -> None:
    async def whole() -> None:
        etcd = MemoryEtcd()
        store = Store(backend=etcd)
        async with TaskGroup() as group:
            watching = group.create_task(store.run())
            await store.ready()
            await scenario(store, etcd)
            watching.cancel()

    asyncio.run(whole())


async def lead(store: Store) -> int:
    return await store.commit([put(kinds.LEADER, "", Leader(manager_id="m1"))])


async def create(store: Store, replicas: int) -> None:
    restart = RestartPolicy(delay_ms=50)
    spec = ServiceSpec(name="web", replicated=Replicated(replicas=replicas), task=TaskTemplate(restart=restart))
    await store.commit(
        [
            put(kinds.NODE, "h1", Node(meta=Meta(id="h1"))),
            put(kinds.NODE_STATUS, "h1", NodeStatus(node_id="h1", state=NodeStatus.READY)),
            put(kinds.SERVICE, "web", Service(meta=Meta(id="web"), spec=spec, revision=1, task_revision=1)),
            put(kinds.REVISION, "web/1", ServiceRevision(service_id="web", number=1, spec=spec)),
        ]
    )


def test_it_plans_at_each_change_and_when_a_restart_is_due() -> None:
    async def scenario(store: Store, etcd: MemoryEtcd) -> None:
        fence = await lead(store)
        planner = asyncio.create_task(Planner(store=store, clock=clock).run(fence))
        await create(store, 2500)
        await until(lambda: len(store.tables.tasks_of("web")) == 2500)
        ended = next(iter(store.tables.tasks))
        status = TaskStatus(task_id=ended, state=TaskState.FAILED, at_ms=clock())
        await store.commit([put(kinds.TASK_STATUS, ended, status)])
        await until(lambda: len(store.tables.tasks_of("web")) == 2501)
        assert store.tables.tasks[ended].desired_state == TaskState.SHUTDOWN
        planner.cancel()
        await asyncio.wait([planner])

    run(scenario)


def test_a_deposed_leader_writes_nothing_and_ends() -> None:
    async def scenario(store: Store, etcd: MemoryEtcd) -> None:
        fence = await lead(store)
        await create(store, 3)
        with pytest.raises(LeadershipLost):
            await Planner(store=store, clock=clock).run(fence - 1)
        assert not store.tables.tasks

    run(scenario)


def test_etcd_away_is_waited_for() -> None:
    async def scenario(store: Store, etcd: MemoryEtcd) -> None:
        fence = await lead(store)
        await create(store, 3)
        etcd.away = True
        planner = asyncio.create_task(Planner(store=store, clock=clock).run(fence))
        await asyncio.sleep(0)
        etcd.away = False
        await until(lambda: len(store.tables.tasks) == 3)
        planner.cancel()
        await asyncio.wait([planner])

    run(scenario)


def test_a_service_that_cannot_be_planned_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(store: Store, etcd: MemoryEtcd) -> None:
        fence = await lead(store)
        spec = ServiceSpec(name="nightly", replicated_job=ReplicatedJob(), schedule=Schedule(cron="no cron"))
        broken = Service(meta=Meta(id="broken"), spec=spec, revision=1, task_revision=1)
        await store.commit([put(kinds.SERVICE, "broken", broken)])
        planner = asyncio.create_task(Planner(store=store, clock=clock).run(fence))
        await create(store, 3)
        await until(lambda: len(store.tables.tasks_of("web")) == 3)
        assert store.tables.service_status["broken"].planning_error
        assert "planning of service nightly failed; the service was left unchanged" in caplog.text
        planner.cancel()
        await asyncio.wait([planner])

    run(scenario)


def test_all_is_compared_with_the_store_each_minute_also_while_the_clock_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    audits, audit = [], IncrementalPlanner.audit

    def noted(planner: IncrementalPlanner) -> Iterator[None]:
        audits.append(planner)
        return audit(planner)

    async def scenario() -> None:
        now_ms = 1_800_000_000_000
        async with loaded_store(MemoryEtcd()) as store:
            planner = asyncio.create_task(Planner(store=store, clock=lambda: now_ms).run(await lead(store)))
            await asyncio.sleep(1)
            now_ms -= 3_600_000
            await until(lambda: len(audits) == 2, seconds=2 * FULL_PASS_SECONDS + 1)
            planner.cancel()
            await asyncio.wait([planner])

    monkeypatch.setattr(IncrementalPlanner, "audit", noted)
    run_virtual(scenario())
