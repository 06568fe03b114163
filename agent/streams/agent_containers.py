"""gRPC servicer of `AgentContainers`: what managers ask of containers of this node beside their desired state."""

from collections.abc import Sequence
from typing import Protocol

from grpc import aio

from agent.runtime.live.process_table import ProcessTable
from shoal.api.v1.agent_containers_pb2 import PauseTaskResponse
from shoal.api.v1.agent_containers_pb2_grpc import AgentContainersServicer
from shoal.api.v1.engine_pb2 import (
    KillContainerRequest,
    KillContainerResponse,
    ListProcessesRequest,
    ListProcessesResponse,
    PauseContainerRequest,
    ProcessRow,
)

DEFAULT_SIGNAL = "SIGKILL"


class RunningContainers(Protocol):
    """Finds running containers; `agent.runtime.oci_runtime.OciRuntime` is one."""

    def task_of(self, own_id: str) -> str:
        """The task of a running container, by the id of either. Raises NotFound."""
        ...

    async def processes(self, own_id: str, ps_args: Sequence[str]) -> ProcessTable:
        """Raises NotFound, InvalidInput, Unavailable."""
        ...


class TaskControl(Protocol):
    """Pauses and signals tasks, and reports their new status; `agent.worker.worker.Worker` is one."""

    async def set_paused(self, task_id: str, paused: bool) -> None:
        """Raises NotFound, Refused, Unavailable."""
        ...

    async def signal(self, task_id: str, signal: str) -> None:
        """Raises NotFound, InvalidInput."""
        ...


class AgentContainersService(AgentContainersServicer):
    """Serves managers."""

    def __init__(self, *, containers: RunningContainers, tasks: TaskControl) -> None:
        self._containers = containers
        self._tasks = tasks

    async def Pause(  # noqa: N802  # named by the protocol
        self, request: PauseContainerRequest, context: aio.ServicerContext[PauseContainerRequest, PauseTaskResponse]
    ) -> PauseTaskResponse:
        """Pause a container, or resume it. Raises NotFound, Refused, Unavailable: see `TaskControl`."""
        del context
        await self._tasks.set_paused(self._containers.task_of(request.container), not request.unpause)
        return PauseTaskResponse()

    async def Kill(  # noqa: N802  # named by the protocol
        self, request: KillContainerRequest, context: aio.ServicerContext[KillContainerRequest, KillContainerResponse]
    ) -> KillContainerResponse:
        """Send a signal. Raises NotFound, InvalidInput: see `TaskControl`."""
        del context
        await self._tasks.signal(self._containers.task_of(request.container), request.signal or DEFAULT_SIGNAL)
        return KillContainerResponse()

    async def ListProcesses(  # noqa: N802  # named by the protocol
        self, request: ListProcessesRequest, context: aio.ServicerContext[ListProcessesRequest, ListProcessesResponse]
    ) -> ListProcessesResponse:
        """The processes of a running container. Raises NotFound, InvalidInput, Unavailable: see `process_table`."""
        del context
        table = await self._containers.processes(request.container, request.ps_args)
        return ListProcessesResponse(titles=table.titles, processes=[ProcessRow(cells=row) for row in table.rows])
