"""An agent that stops in order takes leave of its manager, over real gRPC."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from shoal.api.v1.dispatcher_pb2 import AgentMessage, ManagerMessage
from shoal.node_states import node_state
from shoal.rpc.caller import Context
from tests.integration.session.session_rig import ManagerProcess, RecordedAssignments, SessionRig, one_manager
from tests.integration.session.test_heartbeat_acks import HangingDispatcher, hanging_manager
from tests.polling import until


async def host_goes_on() -> bool:
    return False


async def host_stops() -> bool:
    return True


def state(manager: ManagerProcess, node_id: str = "n1") -> str:
    return node_state(manager.store.tables.node_status.get(node_id))


async def announce(work: RecordedAssignments, *, with_host: bool = False) -> None:
    assert work.session is not None
    await work.session.announce_stop(host_stops if with_host else host_goes_on)


def test_its_node_is_restarting_when_that_returns_and_ready_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1", "n2") as manager:
            for _ in range(2):
                async with rig.agent("n1", [manager.address]) as work:
                    await until(lambda: work.touch == [True])
                    await announce(work)
                    assert state(manager) == "restarting"
                    assert work.touch == [True], "its tasks are not cut off from managers"
            # So long any other node is DOWN.
            async with rig.agent("n2", [manager.address]):
                await until(lambda: state(manager, "n2") == "ready")
            await until(lambda: state(manager, "n2") == "down")
            assert state(manager) == "restarting"

    asyncio.run(scenario())


def test_its_node_is_down_at_once_with_its_host(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1") as manager, rig.agent("n1", [manager.address]) as work:
            await until(lambda: work.touch == [True])
            await announce(work, with_host=True)
            await until(lambda: state(manager) == "down")
            assert manager.store.tables.node_status["n1"].message == "its host is shutting down"

    asyncio.run(scenario())


class RecordingDispatcher(HangingDispatcher):
    """Of a release that does not know of orderly stops."""

    def __init__(self) -> None:
        super().__init__(acknowledges=False)
        self.kinds: list[str | None] = []

    async def Session(  # noqa: N802
        self, requests: AsyncIterator[AgentMessage], context: Context
    ) -> AsyncGenerator[ManagerMessage]:
        async def record() -> None:
            async for message in requests:
                self.kinds.append(message.WhichOneof("kind"))

        reader = asyncio.create_task(record())
        try:
            async for message in super().Session(requests, context):
                yield message
        finally:
            reader.cancel()


@pytest.mark.parametrize("connected", [True, False])
def test_a_manager_of_the_former_release_and_none_at_all_are_told_nothing(tmp_path: Path, connected: bool) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        former = RecordingDispatcher()
        async with hanging_manager(rig, former) as address:
            async with rig.agent("n1", [address if connected else "127.0.0.1:1"]) as work:
                if connected:
                    await until(lambda: "heartbeat" in former.kinds)
                await announce(work)
            assert "stop" not in former.kinds

    asyncio.run(scenario())
