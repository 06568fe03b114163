"""The Control gRPC service: passes each call to its handler."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from manager.control_api.control_handlers import Handlers
from shoal.api.v1 import control_pb2
from shoal.api.v1.control_pb2_grpc import ControlServicer
from shoal.api.v1.diagnosis_pb2 import DiagnoseClusterRequest, DiagnoseClusterResponse
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput
from shoal.rpc.caller import Context, caller_of


class ControlService(ControlServicer):
    """Errors are raised as `ShoalError`; `shoal.rpc.guard` turns them into statuses, and has checked the role."""

    # ruff: noqa: N802  # the methods are named by the protocol

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def CreateService(
        self, request: control_pb2.CreateServiceRequest, context: Context
    ) -> control_pb2.CreateServiceResponse:
        return await self._handlers.services.create(request, caller_of(context))

    async def UpdateService(
        self, request: control_pb2.UpdateServiceRequest, context: Context
    ) -> control_pb2.UpdateServiceResponse:
        return await self._handlers.services.update(request, caller_of(context))

    async def ScaleServices(
        self, request: control_pb2.ScaleServicesRequest, context: Context
    ) -> control_pb2.ScaleServicesResponse:
        return await self._handlers.services.scale(request, caller_of(context))

    async def ManageUpdate(
        self, request: control_pb2.ManageUpdateRequest, context: Context
    ) -> control_pb2.UpdateServiceResponse:
        return await self._handlers.updates.manage(request, caller_of(context))

    async def RebalanceService(
        self, request: control_pb2.RebalanceServiceRequest, context: Context
    ) -> control_pb2.RebalanceServiceResponse:
        return await self._handlers.rebalancing.rebalance(request, caller_of(context))

    async def RunJob(self, request: control_pb2.RunJobRequest, context: Context) -> control_pb2.RunJobResponse:
        return await self._handlers.job_runs.run(request, caller_of(context))

    async def ListRevisions(
        self, request: control_pb2.ListRevisionsRequest, context: Context
    ) -> control_pb2.ListRevisionsResponse:
        return await self._handlers.updates.revisions(request, caller_of(context))

    async def RollbackService(
        self, request: control_pb2.RollbackServiceRequest, context: Context
    ) -> control_pb2.UpdateServiceResponse:
        return await self._handlers.services.rollback(request, caller_of(context))

    async def RemoveService(
        self, request: control_pb2.RemoveServiceRequest, context: Context
    ) -> control_pb2.RemoveServiceResponse:
        return await self._handlers.services.remove(request, caller_of(context))

    async def GetService(self, request: control_pb2.GetServiceRequest, context: Context) -> control_pb2.ServiceView:
        return await self._handlers.services.get(request, caller_of(context))

    async def ListServices(
        self, request: control_pb2.ListServicesRequest, context: Context
    ) -> control_pb2.ListServicesResponse:
        return await self._handlers.services.list(request, caller_of(context))

    async def WatchServices(
        self, request: control_pb2.WatchServicesRequest, context: Context
    ) -> AsyncGenerator[control_pb2.ServicesProgress]:
        async with aclosing(self._handlers.progress.watch(request, caller_of(context))) as updates:
            async for update in updates:
                yield update

    async def WatchCluster(
        self, request: control_pb2.WatchClusterRequest, context: Context
    ) -> AsyncGenerator[control_pb2.ClusterChanges]:
        async with aclosing(self._handlers.feed.watch(request, caller_of(context))) as responses:
            async for response in responses:
                yield response

    async def DeployStack(
        self, request: control_pb2.DeployStackRequest, context: Context
    ) -> control_pb2.DeployStackResponse:
        return await self._handlers.stacks.deploy(request, caller_of(context))

    async def RemoveStack(
        self, request: control_pb2.RemoveStackRequest, context: Context
    ) -> control_pb2.RemoveStackResponse:
        return await self._handlers.stacks.remove(request, caller_of(context))

    async def WatchEvents(
        self, request: control_pb2.WatchEventsRequest, context: Context
    ) -> AsyncGenerator[control_pb2.WatchEventsResponse]:
        async with aclosing(self._handlers.events.watch(request, caller_of(context))) as responses:
            async for response in responses:
                yield response

    async def ListTasks(self, request: control_pb2.ListTasksRequest, context: Context) -> control_pb2.ListTasksResponse:
        return await self._handlers.tasks.list(request, caller_of(context))

    async def GetNode(self, request: control_pb2.GetNodeRequest, context: Context) -> control_pb2.NodeView:
        return await self._handlers.nodes.get(request, caller_of(context))

    async def ListNodes(self, request: control_pb2.ListNodesRequest, context: Context) -> control_pb2.ListNodesResponse:
        return await self._handlers.nodes.list(request, caller_of(context))

    async def UpdateNode(self, request: control_pb2.UpdateNodeRequest, context: Context) -> control_pb2.NodeView:
        return await self._handlers.nodes.update(request, caller_of(context))

    async def RemoveNode(
        self, request: control_pb2.RemoveNodeRequest, context: Context
    ) -> control_pb2.RemoveNodeResponse:
        return await self._handlers.nodes.remove(request, caller_of(context))

    async def CreateNetwork(
        self, request: control_pb2.CreateNetworkRequest, context: Context
    ) -> control_pb2.CreateNetworkResponse:
        return await self._handlers.networks.create(request, caller_of(context))

    async def GetNetwork(self, request: control_pb2.GetNetworkRequest, context: Context) -> control_pb2.NetworkView:
        return await self._handlers.networks.get(request, caller_of(context))

    async def ListNetworks(
        self, request: control_pb2.ListNetworksRequest, context: Context
    ) -> control_pb2.ListNetworksResponse:
        return await self._handlers.networks.list(request, caller_of(context))

    async def RemoveNetwork(
        self, request: control_pb2.RemoveNetworkRequest, context: Context
    ) -> control_pb2.RemoveNetworkResponse:
        return await self._handlers.networks.remove(request, caller_of(context))

    async def CreateSecret(self, request: control_pb2.CreateFileRequest, context: Context) -> control_pb2.FileView:
        return await self._handlers.secrets.create(request, caller_of(context))

    async def UpdateSecret(
        self, request: control_pb2.UpdateFileRequest, context: Context
    ) -> control_pb2.UpdateFileResponse:
        return await self._handlers.secrets.update(request, caller_of(context))

    async def GetSecret(self, request: control_pb2.GetFileRequest, context: Context) -> control_pb2.FileView:
        return await self._handlers.secrets.get(request, caller_of(context))

    async def ListSecrets(
        self, request: control_pb2.ListFilesRequest, context: Context
    ) -> control_pb2.ListFilesResponse:
        return await self._handlers.secrets.list(request, caller_of(context))

    async def RemoveSecret(
        self, request: control_pb2.RemoveFileRequest, context: Context
    ) -> control_pb2.RemoveFileResponse:
        return await self._handlers.secrets.remove(request, caller_of(context))

    async def CreateConfig(self, request: control_pb2.CreateFileRequest, context: Context) -> control_pb2.FileView:
        return await self._handlers.configs.create(request, caller_of(context))

    async def UpdateConfig(
        self, request: control_pb2.UpdateFileRequest, context: Context
    ) -> control_pb2.UpdateFileResponse:
        return await self._handlers.configs.update(request, caller_of(context))

    async def GetConfig(self, request: control_pb2.GetFileRequest, context: Context) -> control_pb2.FileView:
        return await self._handlers.configs.get(request, caller_of(context))

    async def ListConfigs(
        self, request: control_pb2.ListFilesRequest, context: Context
    ) -> control_pb2.ListFilesResponse:
        return await self._handlers.configs.list(request, caller_of(context))

    async def RemoveConfig(
        self, request: control_pb2.RemoveFileRequest, context: Context
    ) -> control_pb2.RemoveFileResponse:
        return await self._handlers.configs.remove(request, caller_of(context))

    async def DiagnoseCluster(self, request: DiagnoseClusterRequest, context: Context) -> DiagnoseClusterResponse:
        return await self._handlers.diagnosis.diagnose(request, caller_of(context))

    async def CheckNetwork(
        self, request: control_pb2.CheckNetworkRequest, context: Context
    ) -> control_pb2.CheckNetworkResponse:
        return await self._handlers.network_check.check(request, caller_of(context))

    async def CreateVolume(self, request: control_pb2.CreateVolumeRequest, context: Context) -> control_pb2.VolumeView:
        return await self._handlers.volumes.create(request, caller_of(context))

    async def GetVolume(self, request: control_pb2.GetVolumeRequest, context: Context) -> control_pb2.VolumeView:
        return await self._handlers.volumes.get(request, caller_of(context))

    async def ListVolumes(
        self, request: control_pb2.ListVolumesRequest, context: Context
    ) -> control_pb2.ListVolumesResponse:
        return await self._handlers.volumes.list(request, caller_of(context))

    async def RemoveVolume(
        self, request: control_pb2.RemoveVolumeRequest, context: Context
    ) -> control_pb2.RemoveVolumesResponse:
        return await self._handlers.volumes.remove(request, caller_of(context))

    async def PruneVolumes(
        self, request: control_pb2.PruneVolumesRequest, context: Context
    ) -> control_pb2.RemoveVolumesResponse:
        return await self._handlers.volumes.prune(request, caller_of(context))

    async def MoveVolume(self, request: control_pb2.MoveVolumeRequest, context: Context) -> control_pb2.VolumeView:
        return await self._handlers.volume_moves.move(request, caller_of(context))

    async def CancelVolumeMove(
        self, request: control_pb2.CancelVolumeMoveRequest, context: Context
    ) -> control_pb2.VolumeView:
        return await self._handlers.volume_moves.cancel(request, caller_of(context))

    async def ListManagers(
        self, request: control_pb2.ListManagersRequest, context: Context
    ) -> control_pb2.ListManagersResponse:
        return await self._handlers.managers.list(request, caller_of(context))

    async def RemoveManager(
        self, request: control_pb2.RemoveManagerRequest, context: Context
    ) -> control_pb2.RemoveManagerResponse:
        return await self._handlers.managers.remove(request, caller_of(context))

    async def PromoteManager(
        self, request: control_pb2.PromoteManagerRequest, context: Context
    ) -> control_pb2.PromoteManagerResponse:
        return await self._handlers.managers.promote(request, caller_of(context))

    async def GetCluster(self, request: control_pb2.GetClusterRequest, context: Context) -> control_pb2.ClusterView:
        return await self._handlers.cluster.get(request, caller_of(context))

    async def UpdateCluster(
        self, request: control_pb2.UpdateClusterRequest, context: Context
    ) -> control_pb2.ClusterView:
        return await self._handlers.cluster.update(request, caller_of(context))

    async def CreateJoinToken(
        self, request: control_pb2.CreateJoinTokenRequest, context: Context
    ) -> control_pb2.CreateJoinTokenResponse:
        return await self._handlers.cluster.create_token(request, caller_of(context))

    async def RotateJoinTokens(
        self, request: control_pb2.CreateJoinTokenRequest, context: Context
    ) -> control_pb2.CreateJoinTokenResponse:
        return await self._handlers.cluster.rotate_tokens(request, caller_of(context))

    async def ListJoinTokens(
        self, request: control_pb2.ListJoinTokensRequest, context: Context
    ) -> control_pb2.ListJoinTokensResponse:
        return await self._handlers.cluster.list_tokens(request, caller_of(context))

    async def RemoveJoinTokens(
        self, request: control_pb2.RemoveJoinTokensRequest, context: Context
    ) -> control_pb2.RemoveJoinTokensResponse:
        return await self._handlers.cluster.remove_tokens(request, caller_of(context))

    async def GetStore(self, request: control_pb2.GetStoreRequest, context: Context) -> control_pb2.StoreView:
        return await self._handlers.cluster.get_store(request, caller_of(context))

    async def CompactStore(self, request: control_pb2.CompactStoreRequest, context: Context) -> control_pb2.StoreView:
        return await self._handlers.cluster.compact_store(request, caller_of(context))

    async def RotateNetworkKeys(
        self, request: control_pb2.RotateNetworkKeysRequest, context: Context
    ) -> control_pb2.ClusterView:
        return await self._handlers.cluster.rotate_network_keys(request, caller_of(context))

    async def ExportBackup(
        self, request: control_pb2.ExportBackupRequest, context: Context
    ) -> AsyncGenerator[control_pb2.ExportBackupResponse]:
        async with aclosing(self._handlers.backups.export(request, caller_of(context))) as responses:
            async for response in responses:
                yield response

    async def GetBackupSchedule(
        self, request: control_pb2.GetBackupScheduleRequest, context: Context
    ) -> control_pb2.BackupScheduleView:
        return await self._handlers.backups.get(request, caller_of(context))

    async def SetBackupSchedule(
        self, request: control_pb2.SetBackupScheduleRequest, context: Context
    ) -> control_pb2.BackupScheduleView:
        return await self._handlers.backups.set(request, caller_of(context))

    async def RemoveBackupSchedule(
        self, request: control_pb2.RemoveBackupScheduleRequest, context: Context
    ) -> control_pb2.BackupScheduleView:
        return await self._handlers.backups.remove(request, caller_of(context))

    async def Stats(
        self, request: control_pb2.StatsRequest, context: Context
    ) -> AsyncGenerator[control_pb2.StatsResponse]:
        async with aclosing(self._handlers.stats.watch(request, caller_of(context))) as responses:
            async for response in responses:
                yield response

    async def Logs(
        self, request: control_pb2.LogsRequest, context: Context
    ) -> AsyncGenerator[control_pb2.LogsResponse]:
        async with aclosing(self._handlers.logs.read(request, caller_of(context))) as responses:
            async for response in responses:
                yield response

    async def Exec(self, request_iterator: AsyncIterator[ExecInput], context: Context) -> AsyncGenerator[ExecOutput]:
        async with aclosing(self._handlers.exec.run(request_iterator, caller_of(context))) as outputs:
            async for output in outputs:
                yield output

    async def Attach(self, request_iterator: AsyncIterator[ExecInput], context: Context) -> AsyncGenerator[ExecOutput]:
        async with aclosing(self._handlers.exec.attach(request_iterator, caller_of(context))) as outputs:
            async for output in outputs:
                yield output
