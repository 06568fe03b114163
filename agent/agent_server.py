"""The agent's gRPC server: the services that managers and other agents call."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from grpc import aio

from agent.archives.container_files import ContainerFiles
from agent.archives.root_sizes import RootSizes
from agent.build.build_host import BuildHost
from agent.build.build_service import AgentBuildsService
from agent.commits.layer_commits import LayerCommits
from agent.csi.controller_service import ControllerService
from agent.csi.driver_registry import DriverRegistry
from agent.diagnosis.host_diagnosis import HostDiagnosis
from agent.images.image_store import ImageStore
from agent.membership import Membership
from agent.network.node_network import NodeNetwork
from agent.runtime.oci_runtime import OciRuntime
from agent.session.manager_list import ManagerList
from agent.streams.agent_containers import AgentContainersService
from agent.streams.agent_streams import AgentStreamsService
from agent.streams.exec_sessions import ExecSessions
from agent.volume_moves.move_source import MoveSource
from agent.volume_moves.move_target import MoveTarget
from agent.volume_moves.volume_data import VolumeDataService
from agent.volumes.local_volume_sizes import LocalVolumeSizes
from agent.volumes.local_volumes import LocalVolumes
from agent.worker.worker import Worker
from shoal.api.v1.agent_containers_pb2_grpc import add_AgentContainersServicer_to_server
from shoal.api.v1.builds_pb2_grpc import add_AgentBuildsServicer_to_server
from shoal.api.v1.streams_pb2_grpc import add_AgentStreamsServicer_to_server
from shoal.api.v1.volume_data_pb2_grpc import add_VolumeDataServicer_to_server
from shoal.rpc import server_limits
from shoal.rpc.access import AGENT_STREAMS
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.removed_managers import RemovedManagers

SERVER_GRACE_SECONDS = 1.0


@asynccontextmanager
async def agent_server(
    address: str,
    managers: ManagerList,
    membership: Membership,
    runtime: OciRuntime,
    worker: Worker,
    network: NodeNetwork,
    drivers: DriverRegistry,
    volumes: LocalVolumes,
    sizes: LocalVolumeSizes,
    images: ImageStore,
    builds: BuildHost,
    diagnosis: HostDiagnosis,
) -> AsyncGenerator[aio.Server]:
    """The agent's gRPC server, for managers, and for other agents that may read a volume."""
    removed = RemovedManagers(lambda: managers.removed)
    server = make_server(AGENT_STREAMS, limits=server_limits.AGENT_STREAMS, removed=removed)
    source = MoveSource(volumes)
    streams = AgentStreamsService(
        logs=runtime,
        prober=network.prober,
        diagnosis=diagnosis,
        stats=runtime,
        controller=ControllerService(drivers),
        sizes=sizes,
        exec_runtime=runtime,
        source=source,
        target=MoveTarget(volumes, membership.current),
        now_ns=time.monotonic_ns,
    )
    add_AgentStreamsServicer_to_server(streams, server)
    commits = LayerCommits(containers=runtime, images=images)
    files = ContainerFiles(runtime)
    of_containers = AgentContainersService(
        containers=runtime,
        tasks=worker,
        files=files,
        sizes=RootSizes(runtime.find_root),
        commits=commits,
        execs=ExecSessions(task_of=runtime.task_of, runtime=runtime),
    )
    add_AgentContainersServicer_to_server(of_containers, server)
    await asyncio.to_thread(builds.clear)
    building = AgentBuildsService(builds)
    add_AgentBuildsServicer_to_server(building, server)
    add_VolumeDataServicer_to_server(VolumeDataService(source), server)
    listen(server, address, membership.current)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(SERVER_GRACE_SECONDS)
        await building.aclose()
