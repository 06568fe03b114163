"""A manager that hangs while gRPC's core answers pings: its agents leave it where there is another one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.session.status_queue import StatusQueue
from shoal.api.v1.dispatcher_pb2 import AgentMessage, ManagerMessage, Welcome
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherServicer, add_DispatcherServicer_to_server
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.caller import Context
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.manager_access import MANAGER_API
from tests.integration.session.session_rig import CLUSTER, HEARTBEAT_SECONDS, SessionRig, one_manager
from tests.polling import until


class HangingDispatcher(DispatcherServicer):
    """Says welcome, and nothing more; counts the sessions.

    Args:
        acknowledges: that it says it would; a manager of an older release does not.
    """

    def __init__(self, *, acknowledges: bool) -> None:
        self._acknowledges = acknowledges
        self.sessions = 0

    async def Session(  # noqa: N802
        self, requests: AsyncIterator[AgentMessage], context: Context
    ) -> AsyncGenerator[ManagerMessage]:
        self.sessions += 1
        period_ms = round(HEARTBEAT_SECONDS * 1000)
        yield ManagerMessage(welcome=Welcome(heartbeat_ms=period_ms, acknowledges_heartbeats=self._acknowledges))
        await asyncio.Event().wait()


@asynccontextmanager
async def hanging_manager(rig: SessionRig, dispatcher: HangingDispatcher) -> AsyncGenerator[str]:
    identity = rig.authority.issue(CertificateSubject("hanging", Role.MANAGER, CLUSTER), datetime.now(UTC))
    server = make_server(MANAGER_API)
    add_DispatcherServicer_to_server(dispatcher, server)
    port = listen(server, "127.0.0.1:0", lambda: identity)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def test_its_agents_go_to_another_manager(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        hanging = HangingDispatcher(acknowledges=True)
        async with (
            hanging_manager(rig, hanging) as bad,
            one_manager(rig, "n1") as good,
            rig.agent("n1", [bad, good.address]) as work,
        ):
            await until(lambda: bool(work.messages))
            assert work.touch == [True, False, True] and hanging.sessions == 1

    asyncio.run(scenario())


def test_its_agents_go_to_another_manager_though_what_they_send_is_stuck(tmp_path: Path) -> None:
    """More than connections buffer, so that not even a heartbeat can be sent behind it."""

    async def scenario() -> None:
        rig, outbox = SessionRig(tmp_path), StatusQueue()
        for number in range(4_000):
            outbox.put(TaskStatus(task_id=f"t{number}", state=TaskState.RUNNING, message="x" * 1_000))
        hanging = HangingDispatcher(acknowledges=True)
        async with (
            hanging_manager(rig, hanging) as bad,
            one_manager(rig, "n1") as good,
            rig.agent("n1", [bad, good.address], outbox=outbox) as work,
        ):
            await until(lambda: bool(work.messages))
            assert work.touch == [True, False, True] and hanging.sessions == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(("acknowledges", "managers"), [(True, 1), (False, 2)])
def test_the_only_one_and_one_of_an_older_release_are_kept(tmp_path: Path, acknowledges: bool, managers: int) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        hanging = HangingDispatcher(acknowledges=acknowledges)
        async with (
            hanging_manager(rig, hanging) as bad,
            one_manager(rig, "n1") as good,
            rig.agent("n1", [bad, good.address][:managers]) as work,
        ):
            await until(lambda: bool(work.touch))
            await asyncio.sleep(10 * HEARTBEAT_SECONDS)
            assert work.touch == [True] and hanging.sessions == 1

    asyncio.run(scenario())


def test_a_manager_that_acknowledges_is_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1") as good, rig.agent("n1", [good.address, "127.0.0.1:1"]) as work:
            await until(lambda: bool(work.messages))
            await asyncio.sleep(10 * HEARTBEAT_SECONDS)
            assert work.touch == [True]

    asyncio.run(scenario())
