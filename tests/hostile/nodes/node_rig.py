"""A real manager, nodes that behave, and one whose certificate is in the wrong hands."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpc import aio

from shoal.api.v1.dispatcher_pb2 import AgentMessage, Heartbeat, Hello, ManagerMessage
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherStub
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.rpc.channel import connect_aio
from shoal.rpc.join import JoinedIdentity, join
from tests.integration.manager.manager_process import ManagerProcess, join_token_of, running_manager
from tests.integration.manager.scripted_agents import scripted_agents

ANSWER_SECONDS = 20.0


@dataclass
class HostileNode:
    """The certificate of a node that has joined as "evil", and a channel to the manager."""

    joined: JoinedIdentity
    channel: aio.Channel
    name: str = "evil"
    address: str = "192.0.2.66"

    def description(self, **more: Any) -> NodeDescription:
        """What it says of itself by default."""
        about = NodeDescription(**{"hostname": self.name, "address": self.address, **more})
        about.platform.os, about.platform.architecture = "linux", "amd64"
        about.resources.nano_cpus, about.resources.memory_bytes = 1 << 40, 1 << 40
        return about

    @asynccontextmanager
    async def session(self, about: NodeDescription) -> AsyncGenerator[Any]:
        """A session that has been welcomed.

        Raises:
            AioRpcError: the manager refused it.
        """
        stream: Any = DispatcherStub(self.channel).Session()
        try:
            await stream.write(AgentMessage(hello=Hello(description=about)))
            await answered(stream)
            yield stream
        finally:
            stream.cancel()


async def answered(stream: Any) -> ManagerMessage:
    """The next message. Raises AioRpcError with the manager's word where the session is at an end."""
    message = await stream.read()
    if isinstance(message, ManagerMessage):
        return message
    raise aio.AioRpcError(
        await stream.code(), await stream.initial_metadata(), await stream.trailing_metadata(), await stream.details()
    )


LOST_STATUS = "Internal error from Core"
"""Said by gRPC's client where it has lost the status with which a stream was ended."""
ATTEMPTS = 10
"""Of a test whose client has lost it."""


async def ending(stream: Any, seconds: float = ANSWER_SECONDS) -> tuple[str, str]:
    """Code and text with which the manager ends a session; heartbeats meanwhile.

    Raises:
        AssertionError: it goes on.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            await stream.write(AgentMessage(heartbeat=Heartbeat()))
            await answered(stream)
        except (aio.AioRpcError, aio.UsageError):
            return (await stream.code()).name, await stream.details()
    raise AssertionError("the session goes on")


@asynccontextmanager
async def cluster_with_hostile_node(
    directory: Path, *names: str
) -> AsyncGenerator[tuple[ManagerProcess, Any, HostileNode]]:
    """A manager's process and its API, nodes of these names that behave, and a hostile one."""
    async with running_manager(directory) as (manager, control):
        token = await join_token_of(control)
        async with scripted_agents(manager, token, *names), joined_node(manager, control, "evil") as node:
            yield manager, control, node


@asynccontextmanager
async def joined_node(manager: ManagerProcess, control: Any, name: str) -> AsyncGenerator[HostileNode]:
    """A node that has joined, and opens sessions as a test says."""
    token = await join_token_of(control)
    joined = await join(manager.joining, token, name)
    async with connect_aio([manager.api], joined.identity) as channel:
        yield HostileNode(joined, channel)
