"""The Containers gRPC service: passes each call to its handler."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from manager.containers.container_first_run import ContainerFirstRun
from manager.containers.container_handler import ContainerHandler
from manager.containers.container_network_handler import ContainerNetworkHandler
from manager.containers.container_removal import ContainerRemoval
from manager.containers.container_runs import ContainerRuns
from manager.containers.container_wait_handler import ContainerWaitHandler
from manager.containers.node_calls.container_commit import ContainerCommit
from manager.containers.node_calls.container_execs import ContainerExecs
from manager.containers.node_calls.container_files import ContainerFileHandler
from manager.containers.node_calls.container_processes import ContainerProcesses
from manager.containers.orphan_removal import OrphanRemoval
from shoal.api.v1 import engine_pb2
from shoal.api.v1.engine_pb2_grpc import ContainersServicer
from shoal.api.v1.standalone_pb2 import Image
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput
from shoal.rpc.caller import Context, caller_of


@dataclass(frozen=True)
class ContainerHandlers:
    """The handlers, one for each kind of call."""

    records: ContainerHandler
    runs: ContainerRuns
    first_run: ContainerFirstRun
    removal: ContainerRemoval
    waits: ContainerWaitHandler
    networks: ContainerNetworkHandler
    processes: ContainerProcesses
    files: ContainerFileHandler
    commits: ContainerCommit
    orphans: OrphanRemoval
    execs: ContainerExecs


class ContainersService(ContainersServicer):
    """Errors are raised as `ShoalError`; `shoal.rpc.guard` turns them into statuses, and has checked the role."""

    # ruff: noqa: N802  # the methods are named by the protocol

    def __init__(self, handlers: ContainerHandlers) -> None:
        self._handlers = handlers

    async def CreateContainer(
        self, request: engine_pb2.CreateContainerRequest, context: Context
    ) -> engine_pb2.ContainerView:
        return await self._handlers.records.create(request, caller_of(context))

    async def RunContainer(
        self, request: engine_pb2.CreateContainerRequest, context: Context
    ) -> AsyncGenerator[engine_pb2.ContainerView]:
        async with aclosing(self._handlers.first_run.run(request, caller_of(context))) as views:
            async for view in views:
                yield view

    async def GetContainer(self, request: engine_pb2.GetContainerRequest, context: Context) -> engine_pb2.ContainerView:
        return await self._handlers.records.get(request, caller_of(context))

    async def ListContainers(
        self, request: engine_pb2.ListContainersRequest, context: Context
    ) -> engine_pb2.ListContainersResponse:
        return await self._handlers.records.list(request, caller_of(context))

    async def SummarizeContainers(
        self, request: engine_pb2.ListContainersRequest, context: Context
    ) -> engine_pb2.ContainerSummaries:
        return await self._handlers.records.summarize(request, caller_of(context))

    async def StartContainer(
        self, request: engine_pb2.StartContainerRequest, context: Context
    ) -> engine_pb2.ContainerView:
        return await self._handlers.runs.start(request, caller_of(context))

    async def StopContainer(
        self, request: engine_pb2.StopContainerRequest, context: Context
    ) -> engine_pb2.ContainerView:
        return await self._handlers.runs.stop(request, caller_of(context))

    async def RestartContainer(
        self, request: engine_pb2.StopContainerRequest, context: Context
    ) -> engine_pb2.ContainerView:
        return await self._handlers.runs.restart(request, caller_of(context))

    async def WaitContainer(
        self, request: engine_pb2.WaitContainerRequest, context: Context
    ) -> AsyncGenerator[engine_pb2.WaitContainerResponse]:
        async with aclosing(self._handlers.waits.wait(request, caller_of(context))) as responses:
            async for response in responses:
                yield response

    async def KillContainer(
        self, request: engine_pb2.KillContainerRequest, context: Context
    ) -> engine_pb2.KillContainerResponse:
        return await self._handlers.processes.kill(request, caller_of(context))

    async def PauseContainer(
        self, request: engine_pb2.PauseContainerRequest, context: Context
    ) -> engine_pb2.ContainerView:
        return await self._handlers.processes.pause(request, caller_of(context))

    async def ListProcesses(
        self, request: engine_pb2.ListProcessesRequest, context: Context
    ) -> engine_pb2.ListProcessesResponse:
        return await self._handlers.processes.list_processes(request, caller_of(context))

    async def CreateExec(self, request: engine_pb2.CreateExecRequest, context: Context) -> engine_pb2.ExecSession:
        return await self._handlers.execs.create(request, caller_of(context))

    async def GetExec(self, request: engine_pb2.GetExecRequest, context: Context) -> engine_pb2.ExecSession:
        return await self._handlers.execs.get(request, caller_of(context))

    async def StartExec(
        self, request_iterator: AsyncIterator[ExecInput], context: Context
    ) -> AsyncGenerator[ExecOutput]:
        async with aclosing(self._handlers.execs.start(request_iterator, caller_of(context))) as outputs:
            async for output in outputs:
                yield output

    async def ResizeExec(
        self, request: engine_pb2.ResizeExecRequest, context: Context
    ) -> engine_pb2.ResizeExecResponse:
        return await self._handlers.execs.resize(request, caller_of(context))

    async def AttachContainer(
        self, request_iterator: AsyncIterator[ExecInput], context: Context
    ) -> AsyncGenerator[ExecOutput]:
        async with aclosing(self._handlers.processes.attach(request_iterator, caller_of(context))) as outputs:
            async for output in outputs:
                yield output

    async def StatPath(self, request: engine_pb2.ArchiveRequest, context: Context) -> engine_pb2.PathStat:
        return await self._handlers.files.stat(request, caller_of(context))

    async def ListDirectory(
        self, request: engine_pb2.ArchiveRequest, context: Context
    ) -> AsyncGenerator[engine_pb2.DirectoryEntries]:
        async with aclosing(self._handlers.files.entries(request, caller_of(context))) as batches:
            async for batch in batches:
                yield batch

    async def ReadArchive(
        self, request: engine_pb2.ArchiveRequest, context: Context
    ) -> AsyncGenerator[engine_pb2.ArchiveChunk]:
        async with aclosing(self._handlers.files.read(request, caller_of(context))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def WriteArchive(
        self, request_iterator: AsyncIterator[engine_pb2.WriteArchiveRequest], context: Context
    ) -> engine_pb2.WriteArchiveResponse:
        return await self._handlers.files.write(request_iterator, caller_of(context))

    async def ListChanges(
        self, request: engine_pb2.ListChangesRequest, context: Context
    ) -> AsyncGenerator[engine_pb2.PathChanges]:
        async with aclosing(self._handlers.files.changes(request, caller_of(context))) as batches:
            async for batch in batches:
                yield batch

    async def ExportContainer(
        self, request: engine_pb2.ListChangesRequest, context: Context
    ) -> AsyncGenerator[engine_pb2.ArchiveChunk]:
        async with aclosing(self._handlers.files.export(request, caller_of(context))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def CommitContainer(self, request: engine_pb2.CommitContainerRequest, context: Context) -> Image:
        return await self._handlers.commits.commit(request, caller_of(context))

    async def RenameContainer(
        self, request: engine_pb2.RenameContainerRequest, context: Context
    ) -> engine_pb2.ContainerView:
        return await self._handlers.records.rename(request, caller_of(context))

    async def UpdateContainer(
        self, request: engine_pb2.UpdateContainerRequest, context: Context
    ) -> engine_pb2.ContainerView:
        return await self._handlers.records.update(request, caller_of(context))

    async def RemoveContainer(
        self, request: engine_pb2.RemoveContainerRequest, context: Context
    ) -> engine_pb2.RemoveContainersResponse:
        return await self._handlers.removal.remove(request, caller_of(context))

    async def PruneContainers(
        self, request: engine_pb2.PruneContainersRequest, context: Context
    ) -> engine_pb2.RemoveContainersResponse:
        return await self._handlers.removal.prune(request, caller_of(context))

    async def RemoveOrphanedContainers(
        self, request: engine_pb2.RemoveOrphanedContainersRequest, context: Context
    ) -> engine_pb2.RemoveContainersResponse:
        return await self._handlers.orphans.remove(request, caller_of(context))

    async def ConnectContainer(
        self, request: engine_pb2.ConnectContainerRequest, context: Context
    ) -> engine_pb2.ContainerView:
        return await self._handlers.networks.connect(request, caller_of(context))

    async def DisconnectContainer(
        self, request: engine_pb2.DisconnectContainerRequest, context: Context
    ) -> engine_pb2.ContainerView:
        return await self._handlers.networks.disconnect(request, caller_of(context))
