"""Calls to agents about containers of their nodes: pause, signals, processes, files."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

from grpc import aio

from manager.agents.agent_address import AgentAddress
from manager.agents.agent_channels import ANSWER_SECONDS, AgentChannels
from manager.agents.answer_bounds import BoundedChannel
from shoal.api.v1.agent_containers_pb2 import (
    CommitLayerRequest,
    CommitLayerResponse,
    ReadContainerSizesRequest,
    ReadContainerSizesResponse,
)
from shoal.api.v1.agent_containers_pb2_grpc import AgentContainersStub
from shoal.api.v1.engine_pb2 import (
    ArchiveChunk,
    ArchiveRequest,
    CreateExecRequest,
    DirectoryEntries,
    ExecSession,
    GetExecRequest,
    KillContainerRequest,
    ListChangesRequest,
    ListProcessesRequest,
    ListProcessesResponse,
    PathChanges,
    PathStat,
    PauseContainerRequest,
    ResizeExecRequest,
    ResizeExecResponse,
    WriteArchiveRequest,
    WriteArchiveResponse,
)
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput

if TYPE_CHECKING:
    from shoal.api.v1.agent_containers_pb2_grpc import AgentContainersAsyncStub


class ContainerChannels:
    """The service `AgentContainers` of all nodes. `container` in requests is the id of a container or of a task.

    Every call raises Unavailable when the node does not respond, NotFound when it does not run the container.
    """

    def __init__(self, channels: AgentChannels) -> None:
        self._channels = channels

    async def pause(self, agent: AgentAddress, request: PauseContainerRequest) -> None:
        """Freeze a container's processes, or let them continue. Raises Refused: they are so already."""
        await self._channels.unary(agent, lambda channel: _stub(channel).Pause(request, timeout=ANSWER_SECONDS))

    async def kill(self, agent: AgentAddress, request: KillContainerRequest) -> None:
        """Send a signal to a container's first process. Raises InvalidInput: there is no such signal."""
        await self._channels.unary(agent, lambda channel: _stub(channel).Kill(request, timeout=ANSWER_SECONDS))

    async def list_processes(self, agent: AgentAddress, request: ListProcessesRequest) -> ListProcessesResponse:
        """A container's processes. Raises InvalidInput: ps(1) does not know the arguments."""
        return await self._channels.unary(
            agent, lambda channel: _stub(channel).ListProcesses(request, timeout=ANSWER_SECONDS)
        )

    async def read_sizes(self, agent: AgentAddress, request: ReadContainerSizesRequest) -> ReadContainerSizesResponse:
        """Disk usage of containers on the node."""
        seconds = request.timeout_ms / 1000 + ANSWER_SECONDS
        return await self._channels.unary(agent, lambda channel: _stub(channel).ReadSizes(request, timeout=seconds))

    async def stat_path(self, agent: AgentAddress, request: ArchiveRequest) -> PathStat:
        """What a path in a container is."""
        return await self._channels.unary(
            agent, lambda channel: _stub(channel).StatPath(request, timeout=ANSWER_SECONDS)
        )

    def list_directory(self, agent: AgentAddress, request: ArchiveRequest) -> AsyncGenerator[DirectoryEntries, None]:
        """What is in a directory of a container."""
        return self._channels.stream(agent, lambda channel: _stub(channel).ListDirectory(request))

    def read_archive(self, agent: AgentAddress, request: ArchiveRequest) -> AsyncGenerator[ArchiveChunk, None]:
        """A tar archive of a path; the first chunk says what it is."""
        return self._channels.stream(agent, lambda channel: _stub(channel).ReadArchive(request))

    async def write_archive(
        self, agent: AgentAddress, messages: AsyncIterator[WriteArchiveRequest]
    ) -> WriteArchiveResponse:
        """Unpack a tar archive there. Raises Exhausted, PermissionDenied, InvalidInput: some of it may be there."""
        return await self._channels.unary(agent, lambda channel: _stub(channel).WriteArchive(messages))

    async def remove_orphan(self, agent: AgentAddress, request: ListChangesRequest) -> None:
        """Delete what the node keeps of a container that managers do not know. Raises NotFound: it keeps none."""
        await self._channels.unary(agent, lambda channel: _stub(channel).RemoveOrphan(request, timeout=ANSWER_SECONDS))

    async def create_exec(self, agent: AgentAddress, request: CreateExecRequest) -> ExecSession:
        """A program for a running container that is started later. Raises Exhausted."""
        return await self._channels.unary(
            agent, lambda channel: _stub(channel).CreateExec(request, timeout=ANSWER_SECONDS)
        )

    async def get_exec(self, agent: AgentAddress, request: GetExecRequest) -> ExecSession:
        """How such a program is. Raises NotFound."""
        return await self._channels.unary(
            agent, lambda channel: _stub(channel).GetExec(request, timeout=ANSWER_SECONDS)
        )

    def start_exec(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]:
        """Run such a program; its output. Raises Refused: it was started before."""
        return self._channels.stream(agent, lambda channel: _stub(channel).StartExec(messages))

    async def resize_exec(self, agent: AgentAddress, request: ResizeExecRequest) -> ResizeExecResponse:
        """Set the size of such a program's terminal. Raises NotFound, Refused."""
        return await self._channels.unary(
            agent, lambda channel: _stub(channel).ResizeExec(request, timeout=ANSWER_SECONDS)
        )

    def list_changes(self, agent: AgentAddress, request: ListChangesRequest) -> AsyncGenerator[PathChanges, None]:
        """What a container has changed of its image's files."""
        return self._channels.stream(agent, lambda channel: _stub(channel).ListChanges(request))

    def export_container(self, agent: AgentAddress, request: ListChangesRequest) -> AsyncGenerator[ArchiveChunk, None]:
        """A tar archive of a container's root file system."""
        return self._channels.stream(agent, lambda channel: _stub(channel).ExportContainer(request))

    async def commit_layer(self, agent: AgentAddress, request: CommitLayerRequest) -> CommitLayerResponse:
        """What a container has changed, put into an image repository. Raises Refused, Exhausted."""
        return await self._channels.unary(agent, lambda channel: _stub(channel).CommitLayer(request))


def _stub(channel: aio.Channel) -> "AgentContainersAsyncStub":
    counted: Any = BoundedChannel(channel)
    stub: AgentContainersAsyncStub = AgentContainersStub(counted)
    return stub
