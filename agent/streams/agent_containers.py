"""gRPC servicer of `AgentContainers`: what managers ask of containers of this node beside their desired state."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Protocol

from grpc import aio

from agent.archives.container_files import ContainerFiles
from agent.archives.root_sizes import RootSizes
from agent.commits.layer_commits import LayerCommits
from agent.runtime.live.process_table import ProcessTable
from agent.streams.copy_pause import CopyPause
from agent.streams.exec_sessions import ExecSessions
from shoal.api.v1.agent_containers_pb2 import (
    CommitLayerRequest,
    CommitLayerResponse,
    PauseTaskResponse,
    ReadContainerSizesRequest,
    ReadContainerSizesResponse,
    RemoveOrphanResponse,
)
from shoal.api.v1.agent_containers_pb2_grpc import AgentContainersServicer
from shoal.api.v1.engine_pb2 import (
    ArchiveChunk,
    ArchiveRequest,
    CreateExecRequest,
    DirectoryEntries,
    ExecSession,
    GetExecRequest,
    KillContainerRequest,
    KillContainerResponse,
    ListChangesRequest,
    ListProcessesRequest,
    ListProcessesResponse,
    PathChanges,
    PathStat,
    PauseContainerRequest,
    ProcessRow,
    ResizeExecRequest,
    ResizeExecResponse,
    WriteArchiveRequest,
    WriteArchiveResponse,
)
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput

DEFAULT_SIGNAL = "SIGKILL"


class RunningContainerLookup(Protocol):
    """Finds running containers; `agent.runtime.oci_runtime.OciRuntime` is one."""

    def task_of(self, own_id: str) -> str:
        """The task of a running container, by the id of either. Raises NotFound."""
        ...

    async def processes(self, own_id: str, ps_args: Sequence[str]) -> ProcessTable:
        """Raises NotFound, InvalidInput, Unavailable."""
        ...


class TaskControl(Protocol):
    """Pauses and signals tasks, and reports their new status; `agent.worker.worker.Worker` is one."""

    async def set_paused(self, task_id: str, paused: bool, *, briefly: bool = False) -> None:
        """Raises NotFound, Refused, Unavailable."""
        ...

    async def signal(self, task_id: str, signal: str) -> None:
        """Empty: its own stop signal. Raises NotFound, InvalidInput."""
        ...

    async def remove_orphan(self, container_id: str) -> None:
        """Raises NotFound, Unavailable."""
        ...


class AgentContainersService(AgentContainersServicer):
    """Serves managers."""

    def __init__(
        self,
        *,
        containers: RunningContainerLookup,
        tasks: TaskControl,
        files: ContainerFiles,
        sizes: RootSizes,
        commits: LayerCommits,
        execs: ExecSessions,
    ) -> None:
        self._execs = execs
        self._containers = containers
        self._tasks = tasks
        self._files = files
        self._sizes = sizes
        self._commits = commits
        self._copy_pause = CopyPause(task_of=containers.task_of, tasks=tasks)

    async def StatPath(  # noqa: N802  # named by the protocol
        self, request: ArchiveRequest, context: aio.ServicerContext[ArchiveRequest, PathStat]
    ) -> PathStat:
        """What a path of a container is. Raises as `ContainerFiles.stat`."""
        del context
        return await self._files.stat(request)

    async def ListDirectory(  # noqa: N802  # named by the protocol
        self, request: ArchiveRequest, context: aio.ServicerContext[ArchiveRequest, DirectoryEntries]
    ) -> AsyncGenerator[DirectoryEntries]:
        """What is in a directory of a container. Raises as `ContainerFiles.stat`."""
        del context
        async with aclosing(self._files.entries(request)) as batches:
            async for batch in batches:
                yield batch

    async def ReadArchive(  # noqa: N802  # named by the protocol
        self, request: ArchiveRequest, context: aio.ServicerContext[ArchiveRequest, ArchiveChunk]
    ) -> AsyncGenerator[ArchiveChunk]:
        """The archive of a path. Raises as `ContainerFiles.stat`."""
        del context
        async with aclosing(self._files.read(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def WriteArchive(  # noqa: N802  # named by the protocol
        self,
        request_iterator: AsyncIterator[WriteArchiveRequest],
        context: aio.ServicerContext[WriteArchiveRequest, WriteArchiveResponse],
    ) -> WriteArchiveResponse:
        """Unpack an archive. Raises as `ContainerFiles.write`."""
        del context
        await self._files.write(request_iterator)
        return WriteArchiveResponse()

    async def ListChanges(  # noqa: N802  # named by the protocol
        self, request: ListChangesRequest, context: aio.ServicerContext[ListChangesRequest, PathChanges]
    ) -> AsyncGenerator[PathChanges]:
        """What a container has changed. Raises as `ContainerFiles.stat`."""
        del context
        async with aclosing(self._files.changes(request.container)) as batches:
            async for batch in batches:
                yield batch

    async def ReadLayer(  # noqa: N802  # named by the protocol
        self, request: ListChangesRequest, context: aio.ServicerContext[ListChangesRequest, ArchiveChunk]
    ) -> AsyncGenerator[ArchiveChunk]:
        """What a container has changed, as a layer. Raises as `ContainerFiles.stat`."""
        del context
        async with (
            self._copy_pause.during(request.container) if request.pause else nullcontext(),
            aclosing(self._files.layer(request.container)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    async def CommitLayer(  # noqa: N802  # named by the protocol
        self, request: CommitLayerRequest, context: aio.ServicerContext[CommitLayerRequest, CommitLayerResponse]
    ) -> CommitLayerResponse:
        """Put what a container has changed into the cluster's image repository. Raises as `LayerCommits.commit`."""
        del context
        return await self._commits.commit(request, pause=_not_paused if request.no_pause else self._copy_pause.during)

    async def ExportContainer(  # noqa: N802  # named by the protocol
        self, request: ListChangesRequest, context: aio.ServicerContext[ListChangesRequest, ArchiveChunk]
    ) -> AsyncGenerator[ArchiveChunk]:
        """The archive of a root file system. Raises as `ContainerFiles.stat`."""
        del context
        async with aclosing(self._files.export(request.container)) as chunks:
            async for chunk in chunks:
                yield chunk

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
        signal = "" if request.stop else request.signal or DEFAULT_SIGNAL
        await self._tasks.signal(self._containers.task_of(request.container), signal)
        return KillContainerResponse()

    async def CreateExec(  # noqa: N802  # named by the protocol
        self, request: CreateExecRequest, context: aio.ServicerContext[CreateExecRequest, ExecSession]
    ) -> ExecSession:
        """A program that is started later. Raises as `ExecSessions.create`."""
        del context
        return self._execs.create(request)

    async def GetExec(  # noqa: N802  # named by the protocol
        self, request: GetExecRequest, context: aio.ServicerContext[GetExecRequest, ExecSession]
    ) -> ExecSession:
        """How a program is. Raises NotFound."""
        del context
        return self._execs.get(request.id)

    async def StartExec(  # noqa: N802  # named by the protocol
        self, request_iterator: AsyncIterator[ExecInput], context: aio.ServicerContext[ExecInput, ExecOutput]
    ) -> AsyncGenerator[ExecOutput]:
        """Run a program that was created. Raises as `ExecSessions.serve`."""
        del context
        async with aclosing(self._execs.serve(request_iterator)) as outputs:
            async for output in outputs:
                yield output

    async def ResizeExec(  # noqa: N802  # named by the protocol
        self, request: ResizeExecRequest, context: aio.ServicerContext[ResizeExecRequest, ResizeExecResponse]
    ) -> ResizeExecResponse:
        """Set the size of a program's terminal. Raises NotFound, Refused."""
        del context
        self._execs.resize(request)
        return ResizeExecResponse()

    async def ListProcesses(  # noqa: N802  # named by the protocol
        self, request: ListProcessesRequest, context: aio.ServicerContext[ListProcessesRequest, ListProcessesResponse]
    ) -> ListProcessesResponse:
        """The processes of a running container. Raises NotFound, InvalidInput, Unavailable: see `process_table`."""
        del context
        table = await self._containers.processes(request.container, request.ps_args)
        return ListProcessesResponse(titles=table.titles, processes=[ProcessRow(cells=row) for row in table.rows])

    async def ReadSizes(  # noqa: N802  # named by the protocol
        self,
        request: ReadContainerSizesRequest,
        context: aio.ServicerContext[ReadContainerSizesRequest, ReadContainerSizesResponse],
    ) -> ReadContainerSizesResponse:
        """Bytes on disk of containers. Raises as `RootSizes.read`."""
        del context
        return await self._sizes.read(request)

    async def RemoveOrphan(  # noqa: N802  # named by the protocol
        self, request: ListChangesRequest, context: aio.ServicerContext[ListChangesRequest, RemoveOrphanResponse]
    ) -> RemoveOrphanResponse:
        """Delete what is kept of a container that managers do not know. Raises as `RootCollector.remove_orphan`."""
        del context
        await self._tasks.remove_orphan(request.container)
        return RemoveOrphanResponse()


def _not_paused(own_id: str) -> AbstractAsyncContextManager[None]:
    del own_id
    return nullcontext()
