"""Channels to the agents' own servers: one a node, made when first needed, closed when idle."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from grpc import aio

from manager.control_api.agent_answers import CountedChannel, own_lines, readable
from manager.control_api.seams import AgentAddress
from shoal.api.v1.streams_pb2 import (
    CallDriverRequest,
    CallDriverResponse,
    DropVolumeCopyRequest,
    ExecInput,
    ExecOutput,
    FetchVolumeProgress,
    FetchVolumeRequest,
    LogBatch,
    OfferVolumeRequest,
    OfferVolumeResponse,
    ProbeRequest,
    ProbeResponse,
    ReadLogsRequest,
    ReadUsageRequest,
    ReadUsageResponse,
    ReadVolumeSizesRequest,
    ReadVolumeSizesResponse,
)
from shoal.api.v1.streams_pb2_grpc import AgentStreamsStub
from shoal.errors import Unavailable
from shoal.identity.identity import Identity
from shoal.identity.roles import agent_server_name
from shoal.rpc.channel import connect_aio
from shoal.rpc.errors import to_error

if TYPE_CHECKING:
    from shoal.api.v1.streams_pb2_grpc import AgentStreamsAsyncStub

Answer = TypeVar("Answer")

ANSWER_SECONDS = 5.0
DRIVER_SECONDS = 330.0
"""For a call of a driver: more than any agent gives it, so that the agent's word on it comes first."""
TREE_SECONDS = 600.0
"""For looking at, or deleting, all files of a volume."""

IDLE_SECONDS = 60.0


@dataclass
class _Held:
    """One node's channel and how many calls use it."""

    channel: aio.Channel
    address: str
    users: int = 0
    idle: asyncio.TimerHandle | None = None


@dataclass
class AgentChannels:
    """Implements `LogReader`, `Runner` and their like over mutual TLS. An agent's certificate must be that very node's.

    Attributes:
        identity: this manager's, asked for each new channel, so that a renewed one is used.
    """

    identity: Callable[[], Identity]
    _held: dict[str, _Held] = field(default_factory=dict)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    async def read(self, agent: AgentAddress, request: ReadLogsRequest) -> AsyncGenerator[LogBatch, None]:
        """The node's lines of the tasks, in its order.

        Raises:
            Unavailable: the node does not answer within 5 s, or gives others; or the connection broke.
            NotFound: it has none of the tasks.
        """
        asked = frozenset(request.task_ids)
        async with aclosing(self._answers(agent, lambda stub: stub.ReadLogs(request))) as batches:
            async for batch in batches:
                yield own_lines(batch, asked, agent)

    def exec(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]:
        """What a program in a container of the node's answers; it is hung up on when nobody listens any more.

        Raises:
            As `attach`; InvalidInput: the agent does not take what is to be run.
        """
        return self._answers(agent, lambda stub: stub.Exec(messages))

    def attach(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]:
        """What a container's own program answers.

        Raises:
            Unavailable: the node does not answer within 5 s, or the connection broke.
            NotFound: it runs no such container. Exhausted: as the agent says.
        """
        return self._answers(agent, lambda stub: stub.Attach(messages))

    async def probe(self, agent: AgentAddress, request: ProbeRequest) -> ProbeResponse:
        """How the node reaches others.

        Raises:
            Unavailable: the node does not answer, or the connection broke.
        """
        return await self._answer(agent, lambda stub: stub.Probe(request))

    async def read_usage(self, agent: AgentAddress, request: ReadUsageRequest) -> ReadUsageResponse:
        """What tasks of the node use.

        Raises:
            Unavailable: the node does not answer, or the connection broke.
        """
        return await self._answer(agent, lambda stub: stub.ReadUsage(request, timeout=ANSWER_SECONDS))

    async def read_volume_sizes(self, agent: AgentAddress, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        """What local volumes take on the node's disk.

        Raises:
            Unavailable: the node does not answer, or the connection broke.
        """
        seconds = request.milliseconds / 1000 + ANSWER_SECONDS
        return await self._answer(agent, lambda stub: stub.ReadVolumeSizes(request, timeout=seconds))

    async def call_driver(self, agent: AgentAddress, request: CallDriverRequest) -> CallDriverResponse:
        """One call of the controller of a driver that the node has.

        Raises:
            Unavailable: the node does not answer, the connection broke, or it has no such driver.
        """
        return await self._answer(agent, lambda stub: stub.CallDriver(request, timeout=DRIVER_SECONDS))

    async def offer_volume(self, agent: AgentAddress, request: OfferVolumeRequest) -> OfferVolumeResponse:
        """Let another node read a volume of this one.

        Raises:
            NotFound: it does not lie there. Unavailable: the node does not answer, or a container has it.
        """
        return await self._answer(agent, lambda stub: stub.OfferVolume(request, timeout=TREE_SECONDS))

    def fetch_volume(
        self, agent: AgentAddress, request: FetchVolumeRequest
    ) -> AsyncGenerator[FetchVolumeProgress, None]:
        """Have the node copy a volume from another one; it stops when nobody listens any more.

        Raises:
            Unavailable: the node or the other one does not answer.
            Refused, InvalidInput, Exhausted: it cannot be copied.
        """
        return self._answers(agent, lambda stub: stub.FetchVolume(request))

    async def drop_volume_copy(self, agent: AgentAddress, request: DropVolumeCopyRequest) -> None:
        """Have one copy of a volume deleted.

        Raises:
            Unavailable: the node does not answer, or a container has it.
        """
        await self._answer(agent, lambda stub: stub.DropVolumeCopy(request, timeout=TREE_SECONDS))

    async def close(self) -> None:
        """Close all channels; calls under way end."""
        for node_id in list(self._held):
            self._drop(node_id)
        await asyncio.gather(*self._closing)

    async def _answer(
        self, agent: AgentAddress, called: Callable[["AgentStreamsAsyncStub"], Awaitable[Answer]]
    ) -> Answer:
        """Of a call that is made by `called`."""
        async with self._channel(agent) as channel:
            try:
                return readable(await called(_stub(channel)), agent)
            except grpc.RpcError as error:
                raise to_error(error, address=f"the agent at {agent.address}") from error

    async def _answers(
        self, agent: AgentAddress, called: Callable[["AgentStreamsAsyncStub"], Any]
    ) -> AsyncGenerator[Any, None]:
        """Of a call that is made by `called`, as they come; it is cancelled when nobody wants more."""
        async with self._channel(agent) as channel:
            call = called(_stub(channel))
            try:
                async for answer in call:
                    yield readable(answer, agent)
            except grpc.RpcError as error:
                raise to_error(error, address=f"the agent at {agent.address}") from error
            finally:
                call.cancel()

    @asynccontextmanager
    async def _channel(self, agent: AgentAddress) -> AsyncIterator[aio.Channel]:
        held = self._take(agent)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await held.channel.channel_ready()
            yield held.channel
        except TimeoutError:
            raise Unavailable(f"the agent at {agent.address} does not answer") from None
        finally:
            self._give_back(agent.node_id, held)

    def _take(self, agent: AgentAddress) -> _Held:
        held = self._held.get(agent.node_id)
        if held is not None and held.address != agent.address:
            self._drop(agent.node_id)
            held = None
        if held is None:
            server_name = agent_server_name(agent.node_id)
            channel = connect_aio([agent.address], self.identity(), server_name=server_name)
            held = self._held[agent.node_id] = _Held(channel, agent.address)
        if held.idle is not None:
            held.idle.cancel()
            held.idle = None
        held.users += 1
        return held

    def _give_back(self, node_id: str, held: _Held) -> None:
        held.users -= 1
        if not held.users and self._held.get(node_id) is held:
            held.idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._drop, node_id)

    def _drop(self, node_id: str) -> None:
        held = self._held.pop(node_id, None)
        if held is None:
            return
        if held.idle is not None:
            held.idle.cancel()
        task = asyncio.get_running_loop().create_task(held.channel.close(grace=None))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _stub(channel: aio.Channel) -> "AgentStreamsAsyncStub":
    counted: Any = CountedChannel(channel)
    stub: AgentStreamsAsyncStub = AgentStreamsStub(counted)
    return stub
