"""Agents without a runtime that speak to real managers over mutual TLS."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from grpc import aio

from shoal.api.v1.diagnosis_pb2 import DiagnoseHostRequest, DiagnoseHostResponse
from shoal.api.v1.dispatcher_pb2 import AgentMessage, Applied, Assignments, Heartbeat, Hello, StatusBatch
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherStub
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.api.v1.streams_pb2 import (
    CallDriverRequest,
    CallDriverResponse,
    DropVolumeCopyRequest,
    DropVolumeCopyResponse,
    ExecEnd,
    ExecInput,
    ExecOutput,
    ExecStarted,
    FetchVolumeProgress,
    FetchVolumeRequest,
    LogBatch,
    LogChunk,
    ObserveTermRequest,
    ObserveTermResponse,
    OfferVolumeRequest,
    OfferVolumeResponse,
    ProbeRequest,
    ProbeResponse,
    ReadLogsRequest,
    ReadUsageRequest,
    ReadUsageResponse,
    ReadVolumeSizesRequest,
    ReadVolumeSizesResponse,
    TaskUsage,
)
from shoal.api.v1.streams_pb2_grpc import AgentStreamsServicer, add_AgentStreamsServicer_to_server
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.errors import NotFound, Refused
from shoal.identity.identity import Identity
from shoal.logs.log_lines import timestamp_bytes
from shoal.rpc import access
from shoal.rpc.caller import Context
from shoal.rpc.channel import connect_aio
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.join import join
from tests.integration.manager.manager_process import ManagerProcess


class ScriptedAgent(AgentStreamsServicer):
    """A node without a runtime: it says of every task that is to run that it runs, and serves two lines of log each."""

    # ruff: noqa: N802  # the method is named by the protocol

    def __init__(self, name: str, node_id: str, identity: Identity, *apis: str) -> None:
        self.name = name
        self.node_id = node_id
        self.identity = identity
        self.tasks: dict[str, Task] = {}
        self.snapshots: list[Assignments] = []
        self.is_silent = False
        self.retry_seconds = 0.1
        self._apis = apis
        self._outgoing: asyncio.Queue[AgentMessage] = asyncio.Queue()
        self._sequence = 0
        self._port = 0

    async def run(self) -> None:
        """Serve logs and hold a session, opening it again when it breaks."""
        server = make_server(access.AGENT_STREAMS)
        add_AgentStreamsServicer_to_server(self, server)
        self._port = listen(server, "127.0.0.1:0", lambda: self.identity)
        await server.start()
        try:
            while True:
                try:
                    if not self.is_silent:
                        await self._connect()
                except aio.AioRpcError:
                    pass
                except asyncio.CancelledError:  # gRPC's own, where messages are sent while the connection breaks
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        raise
                await asyncio.sleep(self.retry_seconds)
        finally:
            await server.stop(None)

    async def ReadLogs(self, request: ReadLogsRequest, context: Context) -> AsyncGenerator[LogBatch]:
        for number in (1, 2):
            for task_id in sorted(request.task_ids):
                line = timestamp_bytes(number) + b" stdout F line %d\n" % number
                yield LogBatch(chunks=[LogChunk(task_id=task_id, lines=line)])

    async def ReadVolumeSizes(self, request: ReadVolumeSizesRequest, context: Context) -> ReadVolumeSizesResponse:
        return ReadVolumeSizesResponse()

    async def ObserveTerm(self, request: ObserveTermRequest, context: Context) -> ObserveTermResponse:
        return ObserveTermResponse()

    async def OfferVolume(self, request: OfferVolumeRequest, context: Context) -> OfferVolumeResponse:
        raise NotFound("this node has no volumes")

    async def FetchVolume(self, request: FetchVolumeRequest, context: Context) -> AsyncGenerator[FetchVolumeProgress]:
        yield FetchVolumeProgress()

    async def DropVolumeCopy(self, request: DropVolumeCopyRequest, context: Context) -> DropVolumeCopyResponse:
        return DropVolumeCopyResponse()

    async def CallDriver(self, request: CallDriverRequest, context: Context) -> CallDriverResponse:
        raise NotFound("no CSI drivers on this node")

    async def ReadUsage(self, request: ReadUsageRequest, context: Context) -> ReadUsageResponse:
        """A tenth of a CPU and 1 MiB each."""
        now_ns = time.monotonic_ns()
        return ReadUsageResponse(
            tasks=[
                TaskUsage(task_id=task_id, at_ns=now_ns, cpu_ns=now_ns // 10, memory_bytes=1 << 20, pids=1)
                for task_id in request.task_ids
            ]
        )

    async def Exec(self, request_iterator: AsyncIterator[ExecInput], context: Context) -> AsyncGenerator[ExecOutput]:
        """Says what it got, until its input ends."""
        start = (await anext(request_iterator)).start
        yield ExecOutput(started=ExecStarted(task_id=start.task))
        yield ExecOutput(stdout=" ".join(start.args).encode())
        async for message in request_iterator:
            if message.HasField("close_stdin"):
                break
            yield ExecOutput(stderr=message.signal.encode()) if message.signal else ExecOutput(stdout=message.stdin)
        yield ExecOutput(end=ExecEnd(exit_code=7))

    async def Attach(self, request_iterator: AsyncIterator[ExecInput], context: Context) -> AsyncGenerator[ExecOutput]:
        """Its container writes nothing, and has ended."""
        yield ExecOutput(end=ExecEnd(exit_code=7))

    async def DiagnoseHost(self, request: DiagnoseHostRequest, context: Context) -> DiagnoseHostResponse:
        return DiagnoseHostResponse()

    async def Probe(self, request: ProbeRequest, context: Context) -> ProbeResponse:
        raise Refused("this node has no network")

    async def _connect(self) -> None:
        """Hold one session. Each has a channel of its own, as an agent's: one channel tries ever more seldom while no
        manager is there, and a node may not be silent for long once one is back."""
        async with connect_aio(self._apis, self.identity) as channel:
            await self._session(DispatcherStub(channel))

    async def _session(self, stub: Any) -> None:
        self._outgoing = asyncio.Queue()
        self._sequence = 0
        about = NodeDescription(hostname=self.name, address="127.0.0.1", stream_port=self._port, agent_version="0")
        about.platform.os, about.platform.architecture = "linux", "amd64"
        about.resources.nano_cpus, about.resources.memory_bytes = 64_000_000_000, 1 << 36
        self._outgoing.put_nowait(AgentMessage(hello=Hello(description=about)))
        # With the queue of this session: the messages of one that broke may be read a while longer.
        async for message in stub.Session(self._messages(self._outgoing)):
            if message.WhichOneof("kind") == "assignments":
                self._take(message.assignments)

    def report(self, message: AgentMessage) -> None:
        """Send something else."""
        self._outgoing.put_nowait(message)

    async def _messages(self, outgoing: "asyncio.Queue[AgentMessage]") -> AsyncIterator[AgentMessage]:
        while not self.is_silent:
            try:
                async with asyncio.timeout(0.3):
                    yield await outgoing.get()
            except TimeoutError:
                yield AgentMessage(heartbeat=Heartbeat())

    def _take(self, assignments: Assignments) -> None:
        if assignments.snapshot:
            self.snapshots.append(assignments)
            self.tasks.clear()
        for task_id in assignments.removed_tasks:
            self.tasks.pop(task_id, None)
        statuses = [self._status(task) for task in assignments.tasks]
        self.tasks.update({task.id: task for task in assignments.tasks})
        if assignments.sequence:
            self._outgoing.put_nowait(AgentMessage(applied=Applied(sequence=assignments.sequence)))
        if statuses:
            self._sequence += 1
            batch = StatusBatch(sequence=self._sequence, statuses=statuses)
            self._outgoing.put_nowait(AgentMessage(statuses=batch))

    def _status(self, task: Task) -> TaskStatus:
        state = min(task.desired_state, TaskState.RUNNING) or TaskState.RUNNING
        if task.desired_state > TaskState.RUNNING:
            state = TaskState.SHUTDOWN
        return TaskStatus(task_id=task.id, state=state, at_ms=time.time_ns() // 1_000_000)


@asynccontextmanager
async def scripted_agents(
    manager: ManagerProcess, token: str, *names: str, others: Sequence[ManagerProcess] = ()
) -> AsyncGenerator[list[ScriptedAgent]]:
    """Nodes that have joined and hold their sessions.

    Args:
        manager: that they join by, and have sessions with.
        others: that they may have sessions with too.
    """
    agents = []
    for name in names:
        joined = await join(manager.joining, token, name)
        agents.append(ScriptedAgent(name, joined.node_id, joined.identity, manager.api, *(each.api for each in others)))
    running = [asyncio.create_task(agent.run(), name=agent.name) for agent in agents]
    try:
        yield agents
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
