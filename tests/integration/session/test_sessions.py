"""Agents and managers over real gRPC with mutual TLS."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.session.status_queue import StatusQueue
from manager.dispatcher.liveness.abandoned_nodes import AbandonedNodeMonitor
from manager.store.changes import delete, put
from manager.store.kinds import LEADER, MANAGER, NODE, TASK
from shoal.api.v1.cluster_pb2 import Leader, Manager
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.identity.roles import Role
from tests.integration.session.session_rig import (
    HEARTBEAT_SECONDS,
    ManagerProcess,
    SessionRig,
    one_manager,
    put_task,
    task,
)
from tests.polling import until

READY, DOWN = NodeStatus.READY, NodeStatus.DOWN


@pytest.fixture
def rig(tmp_path: Path) -> SessionRig:
    return SessionRig(tmp_path)


def play(rig: SessionRig, scenario: Callable[[ManagerProcess], Awaitable[None]]) -> None:
    async def run() -> None:
        async with one_manager(rig, "n1", "n2") as manager:
            await scenario(manager)

    asyncio.run(run())


def state(manager: ManagerProcess, node_id: str) -> int:
    status = manager.store.tables.node_status.get(node_id)
    return status.state if status else NodeStatus.UNKNOWN


def held_by(manager: ManagerProcess, node_id: str) -> str:
    status = manager.store.tables.node_status.get(node_id)
    return status.manager_id if status else ""


def observed(manager: ManagerProcess, task_id: str) -> int:
    status = manager.store.tables.task_status.get(task_id)
    return status.state if status else 0


def status(task_id: str, seen: TaskState.ValueType, at_ms: int = 1) -> TaskStatus:
    return TaskStatus(task_id=task_id, state=seen, at_ms=at_ms)


def test_a_node_is_ready_and_gets_a_snapshot_then_increments(rig: SessionRig) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        await put_task(manager, task("t1"))
        async with rig.agent("n1", [manager.address]) as work:
            await until(lambda: bool(work.messages))
            assert work.messages[0].snapshot and set(work.assigned.tasks) == {"t1"}
            assert state(manager, "n1") == READY
            await put_task(manager, task("t2"), task("other", "n2"))
            await until(lambda: "t2" in work.assigned.tasks)
            await manager.store.commit([delete(TASK, "t1")])
            await until(lambda: "t1" not in work.assigned.tasks)
            assert set(work.assigned.tasks) == {"t2"}
            assert not any(message.snapshot for message in work.messages[1:])

    play(rig, scenario)


def test_a_burst_of_changes_is_coalesced(rig: SessionRig) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        async with rig.agent("n1", [manager.address]) as work:
            await until(lambda: bool(work.messages))
            await put_task(manager, *(task(f"t{number}") for number in range(500)))
            await until(lambda: len(work.assigned.tasks) == 500)
            assert len(work.messages) < 10

    play(rig, scenario)


def test_a_status_is_acknowledged_only_when_it_is_in_etcd(rig: SessionRig) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        await put_task(manager, task("t1"))
        outbox = StatusQueue()
        async with rig.agent("n1", [manager.address], outbox=outbox) as work:
            await until(lambda: bool(work.messages))
            rig.etcd.away = True
            attempts = rig.etcd.transactions
            outbox.put(status("t1", TaskState.RUNNING))
            following = asyncio.ensure_future(outbox.next_batch())
            await until(lambda: rig.etcd.transactions >= attempts + 2)
            assert not following.done() and not observed(manager, "t1")
            following.cancel()
            rig.etcd.away = False
            await until(lambda: observed(manager, "t1") == TaskState.RUNNING)

    play(rig, scenario)


def test_reports_reach_another_manager_when_the_first_is_gone(rig: SessionRig) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        await put_task(manager, task("t1"))
        outbox = StatusQueue()
        async with (
            rig.manager("m2") as other,
            rig.agent("n1", [other.address, manager.address], outbox=outbox) as work,
        ):
            await until(lambda: len(work.messages) == 1)
            await until(lambda: held_by(manager, "n1") == "m2")
            await other.dispatcher_stop()
            outbox.put(status("t1", TaskState.RUNNING))
            await until(lambda: observed(manager, "t1") == TaskState.RUNNING)
            assert manager.store.tables.node_status["n1"].manager_id == "m1"
            assert state(manager, "n1") == READY

    play(rig, scenario)


def test_a_node_whose_host_a_manager_comes_to_is_beside_it_also_while_that_is_away(rig: SessionRig) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        def beside() -> str:
            status = manager.store.tables.node_status.get("n1")
            return status.colocated_manager_id if status is not None else ""

        async with rig.agent("n1", [manager.address]) as work:
            await until(lambda: bool(work.messages))
            assert beside() == ""
            await manager.store.commit([put(MANAGER, "m2", Manager(id="m2", host_address="127.0.0.1"))])
            await until(lambda: beside() == "m2")
        await manager.store.commit([delete(MANAGER, "m2")])
        async with rig.agent("n1", [manager.address]) as work:
            await until(lambda: bool(work.messages))
            assert beside() == "m2"

    play(rig, scenario)


def test_a_newer_session_ends_the_older(rig: SessionRig) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        async with rig.agent("n1", [manager.address]) as older:
            await until(lambda: len(older.messages) == 1)
            async with rig.agent("n1", [manager.address]) as newer:
                await until(lambda: len(newer.messages) >= 1)
                # Both go on trying, so each ends the other in turn.
                await until(lambda: len(older.messages) >= 2)

    play(rig, scenario)


def test_the_worker_knows_whether_a_manager_is_reachable(rig: SessionRig) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        async with rig.manager("m2") as other, rig.agent("n1", [other.address]) as work:
            await until(lambda: work.touch == [True])
            await other.dispatcher_stop()
            await manager.dispatcher_stop()
            await until(lambda: work.touch == [True, False])

    play(rig, scenario)


def test_three_missed_heartbeats_are_down_but_a_broken_stream_is_not(rig: SessionRig) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        async with rig.agent("n1", [manager.address]):
            await until(lambda: state(manager, "n1") == READY)
            async with rig.frozen_agent("n2", manager.address):
                await until(lambda: state(manager, "n2") == READY)
                await until(lambda: state(manager, "n2") == DOWN)
            assert state(manager, "n1") == READY
        assert state(manager, "n1") == READY
        await until(lambda: state(manager, "n1") == DOWN)
        async with rig.agent("n1", [manager.address]):
            await until(lambda: state(manager, "n1") == READY)

    play(rig, scenario)


def test_a_node_that_does_not_return_to_its_restarted_manager_is_down(rig: SessionRig) -> None:
    async def run() -> None:
        async with one_manager(rig, "n1") as manager, rig.agent("n1", [manager.address]):
            await until(lambda: state(manager, "n1") == READY)
        async with rig.manager("m1") as again:
            assert state(again, "n1") == READY
            await until(lambda: state(again, "n1") == DOWN)

    asyncio.run(run())


def test_the_leader_marks_nodes_of_a_manager_that_is_gone(rig: SessionRig) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        async with rig.manager("m2") as other, rig.agent("n1", [other.address]):
            await until(lambda: state(manager, "n1") == READY)
        await manager.store.commit([delete(MANAGER, "m2")])
        fence = await manager.store.commit([put(LEADER, "", Leader(manager_id="m1"))])
        monitor = AbandonedNodeMonitor(
            store=manager.store, manager_id="m1", now_ms=lambda: 1, heartbeat_seconds=HEARTBEAT_SECONDS
        )
        watching = asyncio.create_task(monitor.run(fence))
        await until(lambda: state(manager, "n1") == DOWN)
        watching.cancel()

    play(rig, scenario)


def test_a_removed_node_is_refused_with_the_reason(rig: SessionRig, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        async with rig.agent("n1", [manager.address]) as work:
            await until(lambda: bool(work.messages))
            await manager.store.commit([delete(NODE, "n1")])
            await until(lambda: "then join it again" in caplog.text)

    play(rig, scenario)


def test_only_agents_open_sessions(rig: SessionRig, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        async with rig.agent("n1", [manager.address], role=Role.ADMIN) as work:
            await until(lambda: "cannot call" in caplog.text)
            assert not work.messages

    play(rig, scenario)


def test_an_agent_cannot_report_for_another_node(rig: SessionRig) -> None:
    async def scenario(manager: ManagerProcess) -> None:
        await put_task(manager, task("t1"), task("t2", "n2"))
        outbox = StatusQueue()
        async with rig.agent("n1", [manager.address], outbox=outbox):
            outbox.put(status("t2", TaskState.FAILED))
            outbox.put(status("t1", TaskState.RUNNING))
            await until(lambda: observed(manager, "t1") == TaskState.RUNNING)
            assert not observed(manager, "t2")

    play(rig, scenario)
