"""A real manager with its own etcd in a subprocess, and scripted agents that speak to it over mutual TLS."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpc import aio

from shoal.api.v1.control_pb2 import CreateJoinTokenRequest, GetClusterRequest
from shoal.api.v1.control_pb2_grpc import ControlStub
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

START_SECONDS = 90.0


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ManagerProcess:
    """`shoal-manager run` on loopback; may be started again after it ended."""

    state: Path
    api: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    joining: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    more: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.state.parent / "manager.log").read_text()

    def start(self) -> None:
        command = [sys.executable, "-m", "manager.main", "run", "--state-directory", str(self.state)]
        command += ["--api-address", self.api, "--join-address", self.joining, "--heartbeat-seconds", "0.5", *self.more]
        with (self.state.parent / "manager.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    async def ready(self) -> Any:
        """A stub of the API, once it answers and a manager leads."""
        deadline = time.monotonic() + START_SECONDS
        while not (self.state / "admin" / "address").exists():
            assert self.process is not None
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            await asyncio.sleep(0.05)
        control = ControlStub(self.channel())
        while True:
            with suppress(aio.AioRpcError):
                if (await control.GetCluster(GetClusterRequest(), timeout=5)).leader_id:
                    return control
            assert time.monotonic() < deadline, self.log
            await asyncio.sleep(0.05)

    def channel(self) -> aio.Channel:
        """Closed with the loop at the end of the test's process."""
        return connect_aio([self.api], Identity.load(self.state / "admin"))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP, of it alone."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)

    def end(self) -> None:
        """Whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()

    def resident_kib(self) -> int:
        """The manager's own resident memory, without its etcd."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@asynccontextmanager
async def running_manager(directory: Path, *more: str) -> AsyncGenerator[tuple[ManagerProcess, Any]]:
    """A manager that leads, and its API.

    Args:
        more: options of `shoal-manager run`; of two of the same name the last one counts.
    """
    manager = ManagerProcess(directory / "manager", more=more)
    manager.start()
    try:
        yield manager, await manager.ready()
    finally:
        manager.end()


@dataclass
class EtcdProcess:
    """An etcd of nobody's own on loopback, with its defaults but for some flags; may be started again."""

    directory: Path
    flags: tuple[str, ...] = ()
    client: int = field(default_factory=free_port)
    peer: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.client}"

    def start(self) -> None:
        client, peer = f"http://{self.endpoint}", f"http://127.0.0.1:{self.peer}"
        command = ["etcd", f"--data-dir={self.directory}", "--logger=zap", "--log-level=error", *self.flags]
        command += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        command += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        command += [f"--initial-cluster=default={peer}"]
        with (self.directory.parent / "etcd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def shared_etcd(directory: Path, *flags: str) -> Generator[str]:
    """An `EtcdProcess` for as long as the block; its endpoint."""
    etcd = EtcdProcess(directory / "shared-etcd", flags)
    etcd.start()
    try:
        yield etcd.endpoint
    finally:
        etcd.kill()


async def join_token_of(control: Any) -> str:
    """A new join token."""
    return str((await control.CreateJoinToken(CreateJoinTokenRequest())).token)


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
            async with connect_aio(self._apis, self.identity) as channel:
                while True:
                    try:
                        if not self.is_silent:
                            await self._session(DispatcherStub(channel))
                    except aio.AioRpcError:
                        pass
                    except asyncio.CancelledError:  # gRPC's own, where messages are sent while the connection breaks
                        task = asyncio.current_task()
                        if task is None or task.cancelling():
                            raise
                    await asyncio.sleep(0.1)
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


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 20.0) -> None:
    """Wait for a condition of a running system."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.02)
