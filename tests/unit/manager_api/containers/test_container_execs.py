"""Programs of containers that are created first: the id alone says where they are."""

from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from manager.agents.agent_address import AgentAddress
from manager.containers.node_calls.container_execs import ContainerExecs
from shoal.api.v1.engine_pb2 import (
    CreateExecRequest,
    ExecSession,
    GetExecRequest,
    ResizeExecRequest,
    ResizeExecResponse,
)
from shoal.api.v1.streams_pb2 import ExecEnd, ExecInput, ExecOutput, ExecStart, ExecStarted, StartCreatedExec
from shoal.container_ids import new_exec_id
from shoal.errors import InvalidInput, NotFound, Refused
from shoal.ids import new_id
from tests.unit.manager_api.containers.container_rig import ContainerRig, with_rig
from tests.unit.manager_api.control_rig import ADMIN


class Agents:
    """Remember what they are asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    async def create_exec(self, agent: AgentAddress, request: CreateExecRequest) -> ExecSession:
        self.calls.append((agent.node_id, "create", request.container))
        return ExecSession(id=new_exec_id(request.container, bytes(24)), task_id=request.container)

    async def get_exec(self, agent: AgentAddress, request: GetExecRequest) -> ExecSession:
        self.calls.append((agent.node_id, "get", request.id))
        return ExecSession(id=request.id, exit_code=0)

    async def start_exec(
        self, agent: AgentAddress, messages: AsyncIterator[ExecInput]
    ) -> AsyncGenerator[ExecOutput, None]:
        async for message in messages:
            self.calls.append((agent.node_id, "start", message.start_created.id))
        yield ExecOutput(started=ExecStarted())
        yield ExecOutput(end=ExecEnd(exit_code=3))

    async def resize_exec(self, agent: AgentAddress, request: ResizeExecRequest) -> ResizeExecResponse:
        self.calls.append((agent.node_id, "resize", request.id))
        return ResizeExecResponse()


async def first(message: ExecInput) -> AsyncIterator[ExecInput]:
    yield message


def test_every_call_goes_to_the_node_of_the_container() -> None:
    async def scenario(rig: ContainerRig) -> None:
        agents = Agents()
        execs = ContainerExecs(store=rig.store, agents=agents)
        running = await rig.run("db")
        start = ExecStart(args=["sh"])
        session = await execs.create(CreateExecRequest(container="db", start=start), ADMIN)
        assert session.container == running.container.meta.id
        found = await execs.get(GetExecRequest(id=session.id), ADMIN)
        assert found.HasField("exit_code") and found.container == running.container.meta.id
        message = ExecInput(start_created=StartCreatedExec(id=session.id))
        outputs = [each async for each in execs.start(first(message), ADMIN)]
        assert outputs[0].started.task_name and outputs[1].end.exit_code == 3
        await execs.resize(ResizeExecRequest(id=session.id), ADMIN)
        node, task = running.node_id, running.task.id
        assert agents.calls == [
            (node, "create", task), (node, "get", session.id), (node, "start", session.id), (node, "resize", session.id)
        ]  # fmt: skip

    with_rig(scenario)


def test_what_is_refused() -> None:
    async def scenario(rig: ContainerRig) -> None:
        agents = Agents()
        execs = ContainerExecs(store=rig.store, agents=agents)
        with pytest.raises(InvalidInput, match="is required: a command"):
            await execs.create(CreateExecRequest(container="db"), ADMIN)
        with pytest.raises(NotFound):
            await execs.create(CreateExecRequest(container="db", start=ExecStart(args=["sh"])), ADMIN)
        await rig.create("db")
        with pytest.raises(Refused):
            await execs.create(CreateExecRequest(container="db", start=ExecStart(args=["sh"])), ADMIN)
        for unknown in (new_exec_id(new_id(), bytes(24)), "f" * 64, "x"):
            with pytest.raises(NotFound, match="does not exist"):
                await execs.get(GetExecRequest(id=unknown), ADMIN)
        with pytest.raises(InvalidInput, match="first message"):
            async for _ in execs.start(first(ExecInput(stdin=b"")), ADMIN):
                raise AssertionError
        assert not agents.calls

    with_rig(scenario)
