"""The Control service: each call handed to the noun that it is about."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from manager.control_api.cluster import ClusterCalls
from manager.control_api.events import Events
from manager.control_api.exec import Exec
from manager.control_api.files import Files
from manager.control_api.logs import Logs
from manager.control_api.managers import Managers
from manager.control_api.network_check import NetworkCheck
from manager.control_api.networks import Networks
from manager.control_api.nodes import Nodes
from manager.control_api.progress import Progress
from manager.control_api.rebalancing import Rebalancing
from manager.control_api.services import Services
from manager.control_api.stacks import Stacks
from manager.control_api.stats import Stats
from manager.control_api.tasks import Tasks
from manager.control_api.updates import Updates
from manager.control_api.volume_moves import VolumeMoves
from manager.control_api.volumes import Volumes
from shoal.api.v1 import control_pb2 as api
from shoal.api.v1.control_pb2_grpc import ControlServicer
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput
from shoal.rpc.guard import Context


@dataclass(frozen=True)
class Nouns:
    """What the calls are about, one object each."""

    services: Services
    updates: Updates
    rebalancing: Rebalancing
    stacks: Stacks
    tasks: Tasks
    nodes: Nodes
    networks: Networks
    network_check: NetworkCheck
    secrets: Files
    configs: Files
    volumes: Volumes
    volume_moves: VolumeMoves
    managers: Managers
    cluster: ClusterCalls
    logs: Logs
    exec: Exec
    stats: Stats
    progress: Progress
    events: Events


class ControlService(ControlServicer):
    """Errors are raised as `ShoalError`; `shoal.rpc.guard` makes statuses of them and has checked the role."""

    # ruff: noqa: N802  # the methods are named by the protocol

    def __init__(self, nouns: Nouns) -> None:
        self._nouns = nouns

    async def CreateService(self, request: api.CreateServiceRequest, context: Context) -> api.CreateServiceResponse:
        return await self._nouns.services.create(request)

    async def UpdateService(self, request: api.UpdateServiceRequest, context: Context) -> api.UpdateServiceResponse:
        return await self._nouns.services.update(request)

    async def ScaleServices(self, request: api.ScaleServicesRequest, context: Context) -> api.ScaleServicesResponse:
        return await self._nouns.services.scale(request)

    async def SteerUpdate(self, request: api.SteerUpdateRequest, context: Context) -> api.UpdateServiceResponse:
        return await self._nouns.updates.steer(request)

    async def RebalanceService(
        self, request: api.RebalanceServiceRequest, context: Context
    ) -> api.RebalanceServiceResponse:
        return await self._nouns.rebalancing.rebalance(request)

    async def ListRevisions(self, request: api.ListRevisionsRequest, context: Context) -> api.ListRevisionsResponse:
        return await self._nouns.updates.revisions(request)

    async def RollbackService(self, request: api.RollbackServiceRequest, context: Context) -> api.UpdateServiceResponse:
        return await self._nouns.services.rollback(request)

    async def RemoveService(self, request: api.RemoveServiceRequest, context: Context) -> api.RemoveServiceResponse:
        return await self._nouns.services.remove(request)

    async def GetService(self, request: api.GetServiceRequest, context: Context) -> api.ServiceView:
        return await self._nouns.services.get(request)

    async def ListServices(self, request: api.ListServicesRequest, context: Context) -> api.ListServicesResponse:
        return await self._nouns.services.list(request)

    async def WatchServices(
        self, request: api.WatchServicesRequest, context: Context
    ) -> AsyncGenerator[api.ServicesProgress]:
        async with aclosing(self._nouns.progress.watch(request)) as updates:
            async for update in updates:
                yield update

    async def DeployStack(self, request: api.DeployStackRequest, context: Context) -> api.DeployStackResponse:
        return await self._nouns.stacks.deploy(request)

    async def RemoveStack(self, request: api.RemoveStackRequest, context: Context) -> api.RemoveStackResponse:
        return await self._nouns.stacks.remove(request)

    async def WatchEvents(
        self, request: api.WatchEventsRequest, context: Context
    ) -> AsyncGenerator[api.WatchEventsResponse]:
        async with aclosing(self._nouns.events.watch(request)) as responses:
            async for response in responses:
                yield response

    async def ListTasks(self, request: api.ListTasksRequest, context: Context) -> api.ListTasksResponse:
        return await self._nouns.tasks.list(request)

    async def GetNode(self, request: api.GetNodeRequest, context: Context) -> api.NodeView:
        return await self._nouns.nodes.get(request)

    async def ListNodes(self, request: api.ListNodesRequest, context: Context) -> api.ListNodesResponse:
        return await self._nouns.nodes.list(request)

    async def UpdateNode(self, request: api.UpdateNodeRequest, context: Context) -> api.NodeView:
        return await self._nouns.nodes.update(request)

    async def RemoveNode(self, request: api.RemoveNodeRequest, context: Context) -> api.RemoveNodeResponse:
        return await self._nouns.nodes.remove(request)

    async def CreateNetwork(self, request: api.CreateNetworkRequest, context: Context) -> api.CreateNetworkResponse:
        return await self._nouns.networks.create(request)

    async def GetNetwork(self, request: api.GetNetworkRequest, context: Context) -> api.NetworkView:
        return await self._nouns.networks.get(request)

    async def ListNetworks(self, request: api.ListNetworksRequest, context: Context) -> api.ListNetworksResponse:
        return await self._nouns.networks.list(request)

    async def RemoveNetwork(self, request: api.RemoveNetworkRequest, context: Context) -> api.RemoveNetworkResponse:
        return await self._nouns.networks.remove(request)

    async def CreateSecret(self, request: api.CreateFileRequest, context: Context) -> api.FileView:
        return await self._nouns.secrets.create(request)

    async def UpdateSecret(self, request: api.UpdateFileRequest, context: Context) -> api.UpdateFileResponse:
        return await self._nouns.secrets.update(request)

    async def GetSecret(self, request: api.GetFileRequest, context: Context) -> api.FileView:
        return await self._nouns.secrets.get(request)

    async def ListSecrets(self, request: api.ListFilesRequest, context: Context) -> api.ListFilesResponse:
        return await self._nouns.secrets.list(request)

    async def RemoveSecret(self, request: api.RemoveFileRequest, context: Context) -> api.RemoveFileResponse:
        return await self._nouns.secrets.remove(request)

    async def CreateConfig(self, request: api.CreateFileRequest, context: Context) -> api.FileView:
        return await self._nouns.configs.create(request)

    async def UpdateConfig(self, request: api.UpdateFileRequest, context: Context) -> api.UpdateFileResponse:
        return await self._nouns.configs.update(request)

    async def GetConfig(self, request: api.GetFileRequest, context: Context) -> api.FileView:
        return await self._nouns.configs.get(request)

    async def ListConfigs(self, request: api.ListFilesRequest, context: Context) -> api.ListFilesResponse:
        return await self._nouns.configs.list(request)

    async def RemoveConfig(self, request: api.RemoveFileRequest, context: Context) -> api.RemoveFileResponse:
        return await self._nouns.configs.remove(request)

    async def CheckNetwork(self, request: api.CheckNetworkRequest, context: Context) -> api.CheckNetworkResponse:
        return await self._nouns.network_check.check(request)

    async def CreateVolume(self, request: api.CreateVolumeRequest, context: Context) -> api.VolumeView:
        return await self._nouns.volumes.create(request)

    async def GetVolume(self, request: api.GetVolumeRequest, context: Context) -> api.VolumeView:
        return await self._nouns.volumes.get(request)

    async def ListVolumes(self, request: api.ListVolumesRequest, context: Context) -> api.ListVolumesResponse:
        return await self._nouns.volumes.list(request)

    async def RemoveVolume(self, request: api.RemoveVolumeRequest, context: Context) -> api.RemoveVolumesResponse:
        return await self._nouns.volumes.remove(request)

    async def PruneVolumes(self, request: api.PruneVolumesRequest, context: Context) -> api.RemoveVolumesResponse:
        return await self._nouns.volumes.prune(request)

    async def MoveVolume(self, request: api.MoveVolumeRequest, context: Context) -> api.VolumeView:
        return await self._nouns.volume_moves.move(request)

    async def CancelVolumeMove(self, request: api.CancelVolumeMoveRequest, context: Context) -> api.VolumeView:
        return await self._nouns.volume_moves.cancel(request)

    async def ListManagers(self, request: api.ListManagersRequest, context: Context) -> api.ListManagersResponse:
        return await self._nouns.managers.list(request)

    async def RemoveManager(self, request: api.RemoveManagerRequest, context: Context) -> api.RemoveManagerResponse:
        return await self._nouns.managers.remove(request)

    async def GetCluster(self, request: api.GetClusterRequest, context: Context) -> api.ClusterView:
        return await self._nouns.cluster.get(request)

    async def CreateJoinToken(
        self, request: api.CreateJoinTokenRequest, context: Context
    ) -> api.CreateJoinTokenResponse:
        return await self._nouns.cluster.create_token(request)

    async def RotateJoinTokens(
        self, request: api.CreateJoinTokenRequest, context: Context
    ) -> api.CreateJoinTokenResponse:
        return await self._nouns.cluster.rotate_tokens(request)

    async def ListJoinTokens(self, request: api.ListJoinTokensRequest, context: Context) -> api.ListJoinTokensResponse:
        return await self._nouns.cluster.list_tokens(request)

    async def RemoveJoinTokens(
        self, request: api.RemoveJoinTokensRequest, context: Context
    ) -> api.RemoveJoinTokensResponse:
        return await self._nouns.cluster.remove_tokens(request)

    async def GetStore(self, request: api.GetStoreRequest, context: Context) -> api.StoreView:
        return await self._nouns.cluster.store(request)

    async def MakeSpace(self, request: api.MakeSpaceRequest, context: Context) -> api.StoreView:
        return await self._nouns.cluster.make_space(request)

    async def RotateNetworkKeys(self, request: api.RotateNetworkKeysRequest, context: Context) -> api.ClusterView:
        return await self._nouns.cluster.rotate_network_keys(request)

    async def Stats(self, request: api.StatsRequest, context: Context) -> AsyncGenerator[api.StatsResponse]:
        async with aclosing(self._nouns.stats.watch(request)) as responses:
            async for response in responses:
                yield response

    async def Logs(self, request: api.LogsRequest, context: Context) -> AsyncGenerator[api.LogsResponse]:
        async with aclosing(self._nouns.logs.read(request)) as responses:
            async for response in responses:
                yield response

    async def Exec(self, request_iterator: AsyncIterator[ExecInput], context: Context) -> AsyncGenerator[ExecOutput]:
        async with aclosing(self._nouns.exec.run(request_iterator)) as outputs:
            async for output in outputs:
                yield output

    async def Attach(self, request_iterator: AsyncIterator[ExecInput], context: Context) -> AsyncGenerator[ExecOutput]:
        async with aclosing(self._nouns.exec.attach(request_iterator)) as outputs:
            async for output in outputs:
                yield output
