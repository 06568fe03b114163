"""What runs in `manager_rig`: programs of containers and commands in them, made up in this process."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from agent.runtime.exec.exec_starter import CannotExecError
from agent.runtime.exec.exec_streams import StdStream
from agent.streams.exec_relay import Process, Program
from agent.streams.exec_sessions import ExecSessions
from manager.agents.agent_address import AgentAddress
from manager.records.object_lookup import find_container
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import (
    LogsResponse,
    StatsResponse,
    TaskStats,
    WatchEventsResponse,
)
from shoal.api.v1.engine_pb2 import (
    ArchiveChunk,
    CreateExecRequest,
    ExecSession,
    GetExecRequest,
    KillContainerResponse,
    PathStat,
    ResizeExecRequest,
    ResizeExecResponse,
    WriteArchiveResponse,
)
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.streams_pb2 import (
    BlockUsage,
    ExecInput,
    ExecOutput,
    ExecStart,
    ExecStarted,
    LinkUsage,
    LogBatch,
    LogChunk,
    UsageCounters,
)
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.errors import NotFound
from shoal.task_states import is_terminal
from tests.unit.manager_api.containers.container_rig import ContainerRig

LOG = (
    b"2026-11-23T23:18:27.123456789+00:00 stdout F tick 1\n"
    b"2026-11-23T23:18:28.123456789+00:00 stderr F tock\r2\n"
    b"2026-11-23T23:18:29.123456789+00:00 stdout P tick\n"
    b"2026-11-23T23:18:29.123456789+00:00 stdout F  3\n"
)


COUNTERS = UsageCounters(
    cgroup_version=2,
    cpu_ns=10**10,
    host_cpu_ns=10**13,
    host_cpus=2,
    memory_bytes=3 << 20,
    inactive_file_bytes=1 << 20,
    memory_limit_bytes=16 << 20,
    pids=2,
    blocks=[BlockUsage(major=8, read_bytes=5000, written_bytes=7000)],
    links=[LinkUsage(name="eth0", received_bytes=1000, sent_bytes=2000)],
)


class ExecAgents:
    """Of all nodes at once: what an agent keeps of commands, over a runtime that is made up."""

    def __init__(self) -> None:
        self._sessions = ExecSessions(task_of=lambda task_id: task_id, runtime=_ExecRuntime())

    async def create_exec(self, agent: AgentAddress, request: CreateExecRequest) -> ExecSession:
        return self._sessions.create(request)

    async def get_exec(self, agent: AgentAddress, request: GetExecRequest) -> ExecSession:
        return self._sessions.get(request.id)

    def start_exec(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
        return self._sessions.serve(messages)

    async def resize_exec(self, agent: AgentAddress, request: ResizeExecRequest) -> ResizeExecResponse:
        self._sessions.resize(request)
        return ResizeExecResponse()


class _ExecRuntime:
    async def start_exec(self, request: ExecStart) -> Program:
        if request.args[0] == "nosuch":
            raise CannotExecError(127, "no such file")
        return _Command(list(request.args))

    def attach(self, task_id: str) -> Process:
        raise AssertionError(task_id)

    attach_at_start = attach


class _Command:
    """`cat`, `exit CODE`, or what prints its words."""

    pid = 4711

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._inputs: asyncio.Queue[bytes] = asyncio.Queue()

    async def write(self, data: bytes) -> None:
        await self._inputs.put(data)

    def close_input(self) -> None:
        self._inputs.put_nowait(b"")

    def resize(self, columns: int, rows: int) -> None:
        assert columns and rows

    def signal(self, number: int) -> None:
        raise AssertionError(number)

    async def output(self) -> AsyncGenerator[tuple[StdStream, bytes]]:
        if self._words[0] != "cat":
            yield StdStream.STDOUT, (" ".join(self._words[1:]) + "\n").encode()
            return
        while data := await self._inputs.get():
            yield StdStream.STDOUT, data

    async def exit_code(self) -> int:
        return int(self._words[1]) if self._words[0] == "exit" else 0

    async def close(self) -> int:
        return await self.exit_code()


class Programs:
    """What agents would do."""

    def __init__(self, rig: ContainerRig) -> None:
        self._rig = rig
        self.files: dict[str, bytes] = {"/tmp/h": b"content"}

    async def attach(self, messages: AsyncIterator[Any]) -> AsyncIterator[ExecOutput]:
        first = await anext(messages)
        container = find_container(self._rig.store.tables, first.attach.task)
        yield ExecOutput(started=ExecStarted(task_id=container.meta.id))
        words = container.definition.task.container.command
        await self._rig.until(lambda: self._status(container.meta.id, TaskState.RUNNING))
        if list(words) == ["cat"]:
            async for message in messages:
                if message.HasField("close_stdin"):
                    break
                yield ExecOutput(stdout=message.stdin)
        else:
            yield ExecOutput(stdout=(" ".join(words[1:]) + "\n").encode())
        await self._rig.until(lambda: self._status(container.meta.id, TaskState.COMPLETE))

    async def logs(self, request: Any) -> AsyncIterator[LogsResponse]:
        task = next(iter(self._rig.tasks())).id
        yield LogsResponse(batch=LogBatch(chunks=[LogChunk(task_id=task, lines=LOG)]))

    async def events(self, request: Any) -> AsyncIterator[WatchEventsResponse]:
        event = Event(type="container", action="create", id="a" * 13, name="early", at_ms=1_700_000_000_000)
        yield WatchEventsResponse(event=event)
        await asyncio.Event().wait()

    async def stats(self, request: Any) -> AsyncIterator[StatsResponse]:
        while True:
            usage = TaskStats(task_id=request.targets[0], nano_cpus=500_000_000, memory_bytes=1 << 20, pids=2)
            usage.counters.CopyFrom(COUNTERS)
            yield StatsResponse(tasks=[usage])

    async def kill(self, request: Any) -> KillContainerResponse:
        for task in self._rig.running(request.container):
            await self._rig.report(TaskStatus(task_id=task.id, state=TaskState.FAILED, exit_code=137))
        return KillContainerResponse()

    async def pause(self, request: Any) -> object:
        for task in self._rig.running(request.container):
            status = TaskStatus()
            status.CopyFrom(self._rig.store.tables.task_status[task.id])
            status.paused = not request.unpause
            await self._rig.store.commit([put(kinds.TASK_STATUS, task.id, status)])
        return object()

    async def stat(self, request: Any) -> PathStat:
        if request.path not in self.files:
            raise NotFound(f"{request.path} not found")
        return PathStat(name="h", size=len(self.files[request.path]), mode=0o100644, modified_ns=1_795_471_887 * 10**9)

    async def read(self, request: Any) -> AsyncIterator[ArchiveChunk]:
        yield ArchiveChunk(stat=await self.stat(request), data=self.files[request.path])

    async def write(self, messages: AsyncIterator[Any]) -> WriteArchiveResponse:
        target = await anext(messages)
        self.files[target.target.path] = b"".join([message.data async for message in messages])
        return WriteArchiveResponse()

    def _status(self, container_id: str, state: int) -> bool:
        view = self._rig.store.tables
        if container_id not in view.containers and not view.tasks_of(container_id):
            return True
        found = [view.task_status.get(task) for task in view.tasks_of(container_id)]
        return any(each is not None and (each.state >= state or is_terminal(each.state)) for each in found)
