"""Agents that do to running containers and tasks what they are told, in the records of a rig."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.store import kinds
from manager.store.changes import put
from manager.store.store import Store
from shoal.api.v1.engine_pb2 import (
    KillContainerRequest,
    ListProcessesRequest,
    ListProcessesResponse,
    PauseContainerRequest,
)
from shoal.api.v1.streams_pb2 import AttachStart, ExecInput, ExecOutput, ExecStarted
from shoal.api.v1.task_pb2 import TaskState, TaskStatus


class Rig(Protocol):
    """As `ContainerRig`."""

    store: Store

    @property
    def clock(self) -> Callable[[], int]: ...


class RigAgents:
    """They remember what they were told.

    Attributes:
        ignored: signals that end no program; "stop" is its own stop signal.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.calls: list[str] = []
        self.attached: list[AttachStart] = []
        self.ignored: set[str] = set()

    async def pause(self, agent: AgentAddress, request: PauseContainerRequest) -> None:
        self.calls.append(f"{agent.node_id} {'unpause' if request.unpause else 'pause'}")
        await self._report(request.container, paused=not request.unpause)

    async def kill(self, agent: AgentAddress, request: KillContainerRequest) -> None:
        name = "stop" if request.stop else request.signal
        self.calls.append(f"{agent.node_id} kill {name}")
        if name not in self.ignored:
            await self._report(request.container, state=TaskState.FAILED, exit_code=137)

    async def list_processes(self, agent: AgentAddress, request: ListProcessesRequest) -> ListProcessesResponse:
        return ListProcessesResponse(titles=["PID", *request.ps_args])

    def exec(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]:
        raise AssertionError("nothing is executed here")

    async def attach(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]:
        async for message in messages:
            if message.HasField("attach"):
                self.attached.append(message.attach)
                yield ExecOutput(started=ExecStarted())
            else:
                yield ExecOutput(stdout=message.stdin)

    async def _report(self, own_id: str, **fields: object) -> None:
        view = self._rig.store.tables
        (task,) = view.tasks_of(own_id).values() if own_id in view.containers else (view.tasks[own_id],)
        status = TaskStatus()
        status.CopyFrom(view.task_status[task.id])
        status.paused = False
        status.MergeFrom(TaskStatus(**fields))  # type: ignore[arg-type]  # the caller's
        status.at_ms = self._rig.clock()
        await self._rig.store.commit([put(kinds.TASK_STATUS, task.id, status)])
