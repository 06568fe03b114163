"""One request id finds the lines of manager and agents: every call of a manager to an agent names its request."""

import asyncio
import io
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from manager.agents.agent_address import AgentAddress
from manager.agents.agent_channels import AgentChannels
from manager.agents.answer_bounds import BoundedChannel
from shoal.api.v1 import agent_containers_pb2, builds_pb2, streams_pb2
from shoal.api.v1.agent_containers_pb2_grpc import (
    AgentContainersServicer,
    AgentContainersStub,
    add_AgentContainersServicer_to_server,
)
from shoal.api.v1.builds_pb2_grpc import AgentBuildsServicer, AgentBuildsStub, add_AgentBuildsServicer_to_server
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput, ExecStart
from shoal.api.v1.streams_pb2_grpc import AgentStreamsServicer, AgentStreamsStub, add_AgentStreamsServicer_to_server
from shoal.errors import ShoalError
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.access import AGENT_STREAMS
from shoal.rpc.caller import Context
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.join import join
from shoal.telemetry import log_formatters
from shoal.telemetry.request_context import REQUEST_KEY, new_request, serve
from tests.integration.manager.manager_process import join_token_of, running_manager
from tests.integration.manager.scripted_agents import ScriptedAgent
from tests.integration.manager.test_silence import run_web

SERVICES = {
    "AgentStreams": (streams_pb2.DESCRIPTOR, AgentStreamsStub),
    "AgentContainers": (agent_containers_pb2.DESCRIPTOR, AgentContainersStub),
    "AgentBuilds": (builds_pb2.DESCRIPTOR, AgentBuildsStub),
}


def methods() -> list[tuple[str, str]]:
    return [(name, each.name) for name, (file, _) in SERVICES.items() for each in file.services_by_name[name].methods]


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What this process logs, as a daemon writes it."""
    text, root = io.StringIO(), logging.getLogger()
    before, level = root.handlers[:], root.level
    log_formatters.configure("info", json=False, stream=text)
    try:
        yield text
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(capture=False)


@asynccontextmanager
async def failing_agent() -> AsyncGenerator[tuple[AgentChannels, AgentAddress]]:
    """An agent's server whose every method fails as by a bug, and a manager's channels."""
    authority = Authority.create("c", datetime.now(UTC))
    own, caller = (
        authority.issue(CertificateSubject(name, role, "c"), datetime.now(UTC))
        for name, role in (("n1", Role.AGENT), ("m1", Role.MANAGER))
    )
    server = make_server(AGENT_STREAMS)
    without_methods: tuple[Any, ...] = (AgentStreamsServicer, AgentContainersServicer, AgentBuildsServicer)
    streams, containers, builds = (each() for each in without_methods)
    add_AgentStreamsServicer_to_server(streams, server)
    add_AgentContainersServicer_to_server(containers, server)
    add_AgentBuildsServicer_to_server(builds, server)
    port = listen(server, "127.0.0.1:0", lambda: own)
    await server.start()
    channels = AgentChannels(lambda: caller)
    try:
        yield channels, AgentAddress("n1", f"127.0.0.1:{port}")
    finally:
        await channels.close()
        await server.stop(0)


async def call(channels: AgentChannels, agent: AgentAddress, service: str, method: str) -> None:
    file, stub = SERVICES[service]
    about = file.services_by_name[service].methods_by_name[method]
    request: Message = GetMessageClass(about.input_type)()

    async def requests() -> AsyncIterator[Message]:
        yield request

    def begin(channel: aio.Channel) -> Any:
        bounded: Any = BoundedChannel(channel)
        return getattr(stub(bounded), method)(requests() if about.client_streaming else request)

    if about.server_streaming:
        async with aclosing(channels.stream(agent, begin)) as answers:
            async for _ in answers:
                pass
    else:
        await channels.unary(agent, begin)


@pytest.mark.parametrize(("service", "method"), methods())
def test_every_method_of_an_agent_gets_the_id(service: str, method: str) -> None:
    async def scenario() -> None:
        async with failing_agent() as (channels, agent):
            serve(request := new_request())
            with logged() as log, pytest.raises(ShoalError, match=request.request_id):
                await call(channels, agent, service, method)
            line = next(line for line in log.getvalue().splitlines() if f"{service}/{method} failed" in line)
            assert request.request_id in line
            serve(None)
            with pytest.raises(ShoalError) as caught:
                await call(channels, agent, service, method)
            assert request.request_id not in str(caught.value), "the next request is another one"

    asyncio.run(scenario())


class FaultyAgent(ScriptedAgent):
    """Its programs do not run: a bug."""

    async def Exec(  # noqa: N802
        self, request_iterator: AsyncIterator[ExecInput], context: Context
    ) -> AsyncGenerator[ExecOutput]:
        async for _ in request_iterator:
            raise RuntimeError("a bug")
        yield ExecOutput()


def test_a_commands_id_is_in_the_lines_of_the_agent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, control):
            joined = await join(manager.joining, await join_token_of(control), "h1")
            agent = FaultyAgent("h1", joined.node_id, joined.identity, manager.api)
            running = asyncio.create_task(agent.run())
            await run_web(control, 1)
            request = new_request()
            with logged() as log:
                rpc = control.Exec(
                    iter([ExecInput(start=ExecStart(task="web", args=["true"]))]),
                    metadata=((REQUEST_KEY, request.request_id),),
                )
                with pytest.raises(aio.AioRpcError):
                    async for _ in rpc:
                        pass
            assert "Exec failed" in log.getvalue() and request.request_id in log.getvalue()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
