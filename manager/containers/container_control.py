"""What container calls ask of agents about running containers."""

from typing import Protocol

from manager.agents.agent_address import AgentAddress
from shoal.api.v1.engine_pb2 import (
    KillContainerRequest,
    ListProcessesRequest,
    ListProcessesResponse,
    PauseContainerRequest,
)


class ContainerControl(Protocol):
    """The agents, as of `manager.agents.container_channels.ContainerChannels`."""

    async def pause(self, agent: AgentAddress, request: PauseContainerRequest) -> None: ...

    async def kill(self, agent: AgentAddress, request: KillContainerRequest) -> None: ...

    async def list_processes(self, agent: AgentAddress, request: ListProcessesRequest) -> ListProcessesResponse: ...
