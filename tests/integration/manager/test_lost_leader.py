"""The leader is killed, or frozen and thawed: its agents go on with another manager and keep their tasks."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from agent.network.condition_reporter import ConditionReporter
from agent.session.manager_session import ManagerSession
from agent.session.status_queue import StatusQueue
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetClusterRequest,
    ListNodesRequest,
    ListTasksRequest,
    ScaleServicesRequest,
    WatchServicesRequest,
)
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.rpc.channel import connect_aio
from shoal.rpc.join import find_managers, join
from tests.fakes.csi_mounter import host_volumes
from tests.fakes.image_reports import FakeImageReports
from tests.fakes.manager_list import manager_list
from tests.integration.manager.manager_process import ManagerProcess, join_token_of, until
from tests.integration.manager.test_two_managers import web, with_two
from tests.integration.session.session_rig import FixedHost, RecordedAssignments


class WorkAtOnce(RecordedAssignments):
    """Says of every task that is to run that it runs, and of others that they have ended."""

    def __init__(self, outbox: StatusQueue) -> None:
        super().__init__()
        self._outbox = outbox
        self.ended: list[str] = []

    def receive(self, assignments: Any) -> None:
        super().receive(assignments)
        for task in assignments.tasks:
            runs = task.desired_state <= TaskState.RUNNING
            if not runs:
                self.ended.append(task.id)
            state = TaskState.RUNNING if runs else TaskState.SHUTDOWN
            self._outbox.put(TaskStatus(task_id=task.id, state=state, at_ms=1))


@asynccontextmanager
async def agent(
    directory: Path, token: str, managers: list[ManagerProcess], *, known: Sequence[str] = ()
) -> AsyncGenerator[WorkAtOnce]:
    """A node whose session is the real one, with the first of the managers as long as that answers.

    Args:
        known: addresses that it knows in place of the managers'.
    """
    joined = await join(managers[0].joining, token, "h1")
    addresses = known or [manager.api for manager in managers]
    outbox = StatusQueue()
    work = WorkAtOnce(outbox)
    session = ManagerSession(
        managers=manager_list(directory / "managers.json", addresses, joined.node_id),
        connect=lambda address: connect_aio([address], joined.identity),
        host=FixedHost("h1"),
        outbox=outbox,
        worker=work,
        volumes=host_volumes(directory / "volumes", lambda: 0),
        condition=ConditionReporter(now_ms=lambda: 0),
        images=FakeImageReports(),
        find_managers=partial(find_managers, managers[0].joining, joined.identity.ca),
    )
    running = asyncio.create_task(session.run())
    try:
        yield work
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def the_node(control: Any) -> NodeStatus:
    (node,) = (await control.ListNodes(ListNodesRequest())).nodes
    status: NodeStatus = node.status
    return status


async def _has_node_of(control: Any, manager_id: str) -> bool:
    nodes = (await control.ListNodes(ListNodesRequest())).nodes
    return [(each.status.state, each.status.manager_id) for each in nodes] == [(NodeStatus.READY, manager_id)]


async def leader(control: Any) -> str:
    try:
        return str((await control.GetCluster(GetClusterRequest(), timeout=2)).leader_id)
    except aio.AioRpcError:
        return ""


async def running(control: Any, service: str) -> int:
    async for update in control.WatchServices(WatchServicesRequest(services=[service]), timeout=60):
        last = update.services[0].running
    return int(last)


def freeze(manager: ManagerProcess) -> None:
    assert manager.process is not None
    manager.process.send_signal(signal.SIGSTOP)


def thaw(manager: ManagerProcess) -> None:
    assert manager.process is not None
    manager.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("harm", [ManagerProcess.kill, freeze])
def test_another_manager_takes_over(tmp_path: Path, harm: Callable[[ManagerProcess], None]) -> None:
    async def scenario(first: ManagerProcess, one: Any, second: ManagerProcess, two: Any) -> None:
        led_by = str((await two.GetCluster(GetClusterRequest())).leader_id)
        token = await join_token_of(one)
        async with agent(tmp_path, token, [first, second]) as work:
            await one.CreateService(CreateServiceRequest(spec=web("web", 3)))
            assert await running(one, "web") == 3
            await until(lambda: _has_node_of(two, led_by), "the second manager has heard of the node's session")
            before, tasks = await the_node(two), set(work.assigned.tasks)
            harm(first)

            async def taken_over() -> bool:
                now = await leader(two)
                return now not in ("", led_by) and (await the_node(two)).manager_id == now

            await until(taken_over, "the second manager leads and has the node")
            assert set(work.assigned.tasks) == tasks
            targets = [ScaleServicesRequest.Target(service="web", replicas=5)]
            await two.ScaleServices(ScaleServicesRequest(targets=targets))
            assert await running(two, "web") == 5
            assert work.ended == []
            if harm is freeze:
                thaw(first)
                await until(lambda: _follows(one, two), "the first manager goes on as one that does not lead")
            else:
                # By the kernel's word the agent was elsewhere before anyone could miss it.
                assert (await the_node(two)).since_ms == before.since_ms

    with_two(tmp_path, scenario)


async def _follows(one: Any, two: Any) -> bool:
    """Whether both show the same, and what the leader of before believed has changed nothing."""
    try:
        own = (await one.ListTasks(ListTasksRequest(service="web"), timeout=5)).tasks
    except aio.AioRpcError:
        return False
    theirs = (await two.ListTasks(ListTasksRequest(service="web"))).tasks
    same = {view.task.id for view in own} == {view.task.id for view in theirs}
    now = await leader(two)
    return same and len(own) == 5 and now == await leader(one) and all(view.task.desired_state <= 80 for view in own)
