"""gRPC channels to the agents' stream servers: one per node, opened on first use, closed when idle."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from grpc import aio

from manager.agents.agent_address import AgentAddress
from manager.agents.answer_bounds import BoundedChannel, checked, requested_lines
from shoal.api.v1.diagnosis_pb2 import DiagnoseHostRequest, DiagnoseHostResponse
from shoal.api.v1.streams_pb2 import (
    CallDriverRequest,
    CallDriverResponse,
    DropVolumeCopyRequest,
    ExecInput,
    ExecOutput,
    FetchVolumeProgress,
    FetchVolumeRequest,
    ObserveTermRequest,
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
from shoal.logs.encoded_batch import Batch
from shoal.rpc.channel import connect_aio
from shoal.rpc.status_mapping import to_shoal_error

if TYPE_CHECKING:
    from shoal.api.v1.streams_pb2_grpc import AgentStreamsAsyncStub

Answer = TypeVar("Answer")

ANSWER_SECONDS = 5.0
DIAGNOSIS_SECONDS = 8.0
"""For the checks of one host: ports take 3 s, a registry 4 s."""
DRIVER_SECONDS = 330.0
"""For a call of a driver: longer than any agent's own timeout, so that the agent's error arrives first."""
FILE_TREE_SECONDS = 600.0
"""For reading or deleting all files of a volume."""

IDLE_SECONDS = 60.0


@dataclass(eq=False)
class _OpenChannel:
    """An open channel to one node, with the number of calls that use it.

    Attributes:
        identity: with which it connects, also again after a break.
    """

    channel: aio.Channel
    address: str
    identity: Identity
    users: int = 0
    idle: asyncio.TimerHandle | None = None


@dataclass
class AgentChannels:
    """Calls to agents over mutual TLS (`LogReader`, `ContainerStreams` and others). The node's certificate is required.

    Attributes:
        identity: of this manager; once it is renewed, calls get a new channel, and those under way keep theirs.
    """

    identity: Callable[[], Identity]
    _open: dict[str, _OpenChannel] = field(default_factory=dict)
    _retired: list[_OpenChannel] = field(default_factory=list)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    async def read_logs(self, agent: AgentAddress, request: ReadLogsRequest) -> AsyncGenerator[Batch, None]:
        """The node's lines of the tasks, in its order.

        Raises:
            Unavailable: the node does not respond within 5 s, returned lines of other tasks, or the connection broke.
            NotFound: it has none of the tasks.
        """
        requested = frozenset(request.task_ids)
        async with aclosing(self._stream(agent, lambda stub: stub.ReadLogs(request))) as batches:
            async for batch in batches:
                yield requested_lines(batch, requested, agent)

    def exec(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]:
        """Run a command in a container; the output. The call is cancelled when the consumer closes the generator.

        Raises:
            As `attach`; InvalidInput: the agent rejects the command.
        """
        return self._stream(agent, lambda stub: stub.Exec(messages))

    def attach(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]:
        """Attach to a container's main process; its output.

        Raises:
            Unavailable: the node does not respond within 5 s, or the connection broke.
            NotFound: it runs no such container. Exhausted: too many are attached.
        """
        return self._stream(agent, lambda stub: stub.Attach(messages))

    async def probe(self, agent: AgentAddress, request: ProbeRequest) -> ProbeResponse:
        """Probe how the node reaches others.

        Raises:
            Unavailable: the node does not respond, or the connection broke.
        """
        return await self._unary(agent, lambda stub: stub.Probe(request))

    async def diagnose(self, agent: AgentAddress, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        """Checks of the node's host.

        Raises:
            Unavailable: the node does not respond within 8 s. Busy: another diagnosis is running on it.
        """
        return await self._unary(agent, lambda stub: stub.DiagnoseHost(request, timeout=DIAGNOSIS_SECONDS))

    async def read_usage(self, agent: AgentAddress, request: ReadUsageRequest) -> ReadUsageResponse:
        """Resource usage of tasks of the node.

        Raises:
            Unavailable: the node does not respond, or the connection broke.
        """
        return await self._unary(agent, lambda stub: stub.ReadUsage(request, timeout=ANSWER_SECONDS))

    async def read_volume_sizes(self, agent: AgentAddress, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        """Disk usage of local volumes on the node.

        Raises:
            Unavailable: the node does not respond, or the connection broke.
        """
        seconds = request.timeout_ms / 1000 + ANSWER_SECONDS
        return await self._unary(agent, lambda stub: stub.ReadVolumeSizes(request, timeout=seconds))

    async def call_driver(self, agent: AgentAddress, request: CallDriverRequest) -> CallDriverResponse:
        """Call the controller of a CSI driver on the node.

        Raises:
            Unavailable: the node does not respond, the connection broke, or it has no such driver.
        """
        return await self._unary(agent, lambda stub: stub.CallDriver(request, timeout=DRIVER_SECONDS))

    async def observe_term(self, agent: AgentAddress, term: int) -> None:
        """Have the node refuse calls of earlier leaders.

        Raises:
            Unavailable: the node does not respond. Refused: a later term has begun.
        """
        request = ObserveTermRequest(term=term)
        await self._unary(agent, lambda stub: stub.ObserveTerm(request, timeout=ANSWER_SECONDS))

    async def offer_volume(self, agent: AgentAddress, request: OfferVolumeRequest) -> OfferVolumeResponse:
        """Allow another node to read a volume of this one.

        Raises:
            NotFound: the volume is not there. Unavailable: the node does not respond, or a container uses it.
        """
        return await self._unary(agent, lambda stub: stub.OfferVolume(request, timeout=FILE_TREE_SECONDS))

    def fetch_volume(
        self, agent: AgentAddress, request: FetchVolumeRequest
    ) -> AsyncGenerator[FetchVolumeProgress, None]:
        """Have the node copy a volume from another one; it stops when the consumer closes the generator.

        Raises:
            Unavailable: the node or the other one does not answer.
            Refused, InvalidInput, Exhausted: it cannot be copied.
        """
        return self._stream(agent, lambda stub: stub.FetchVolume(request))

    async def drop_volume_copy(self, agent: AgentAddress, request: DropVolumeCopyRequest) -> None:
        """Delete one copy of a volume.

        Raises:
            Unavailable: the node does not respond, or a container uses it.
        """
        await self._unary(agent, lambda stub: stub.DropVolumeCopy(request, timeout=FILE_TREE_SECONDS))

    async def close(self) -> None:
        """Close all channels; calls under way end."""
        for node_id in list(self._open):
            self._close(node_id)
        while self._retired:
            self._end(self._retired.pop())
        await asyncio.gather(*self._closing)

    async def _unary(self, agent: AgentAddress, call: Callable[["AgentStreamsAsyncStub"], Awaitable[Answer]]) -> Answer:
        """The response of a unary call."""
        return await self.unary(agent, lambda channel: call(_stub(channel)))

    async def unary(self, agent: AgentAddress, call: Callable[[aio.Channel], Awaitable[Answer]]) -> Answer:
        """The response of a unary call of any of the agent's services.

        Args:
            call: makes it on the node's channel.

        Raises:
            Unavailable: the node does not respond, or the connection broke. What the agent answers with.
        """
        async with self._channel(agent) as channel:
            try:
                return checked(await call(channel), agent)
            except grpc.RpcError as error:
                raise to_shoal_error(error, address=f"the agent at {agent.address}") from error

    async def _stream(
        self, agent: AgentAddress, call: Callable[["AgentStreamsAsyncStub"], Any]
    ) -> AsyncGenerator[Any, None]:
        """As `stream`, of the service `AgentStreams`."""
        async with aclosing(self.stream(agent, lambda channel: call(_stub(channel)))) as answers:
            async for answer in answers:
                yield answer

    async def stream(self, agent: AgentAddress, call: Callable[[aio.Channel], Any]) -> AsyncGenerator[Any, None]:
        """The responses of a streaming call, as they arrive; it is cancelled when the consumer stops reading.

        Args:
            call: makes it on the node's channel.

        Raises:
            Unavailable: the node does not respond, or the connection broke. What the agent answers with.
        """
        async with self._channel(agent) as channel:
            rpc = call(channel)
            try:
                async for answer in rpc:
                    yield checked(answer, agent)
            except grpc.RpcError as error:
                raise to_shoal_error(error, address=f"the agent at {agent.address}") from error
            finally:
                rpc.cancel()

    @asynccontextmanager
    async def _channel(self, agent: AgentAddress) -> AsyncIterator[aio.Channel]:
        opened = self._acquire(agent)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await opened.channel.channel_ready()
            yield opened.channel
        except TimeoutError:
            raise Unavailable(f"no response from the agent at {agent.address}") from None
        finally:
            self._release(agent.node_id, opened)

    def _acquire(self, agent: AgentAddress) -> _OpenChannel:
        found = self._open.get(agent.node_id)
        identity = self.identity()
        if found is not None and found.address != agent.address:
            self._close(agent.node_id)
            found = None
        elif found is not None and found.identity is not identity:
            self._retire(agent.node_id)
            found = None
        if found is None:
            server_name = agent_server_name(agent.node_id)
            channel = connect_aio([agent.address], identity, server_name=server_name)
            found = self._open[agent.node_id] = _OpenChannel(channel, agent.address, identity)
        if found.idle is not None:
            found.idle.cancel()
            found.idle = None
        found.users += 1
        return found

    def _release(self, node_id: str, channel: _OpenChannel) -> None:
        channel.users -= 1
        if channel.users:
            return
        if self._open.get(node_id) is channel:
            channel.idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._close, node_id)
        elif channel in self._retired:
            self._retired.remove(channel)
            self._end(channel)

    def _retire(self, node_id: str) -> None:
        """No more calls on the channel; it is closed once those under way have ended."""
        if self._open[node_id].users:
            self._retired.append(self._open.pop(node_id))
        else:
            self._close(node_id)

    def _close(self, node_id: str) -> None:
        if (opened := self._open.pop(node_id, None)) is not None:
            self._end(opened)

    def _end(self, opened: _OpenChannel) -> None:
        if opened.idle is not None:
            opened.idle.cancel()
        task = asyncio.get_running_loop().create_task(opened.channel.close(grace=None))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _stub(channel: aio.Channel) -> "AgentStreamsAsyncStub":
    counted: Any = BoundedChannel(channel)
    stub: AgentStreamsAsyncStub = AgentStreamsStub(counted)
    return stub
