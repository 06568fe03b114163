"""Constructs the service `Containers` with its handlers."""

from manager.agents.agent_channels import AgentChannels
from manager.agents.container_channels import ContainerChannels
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
from manager.containers.task_calls import TaskCalls
from manager.control_api.containers_servicer import ContainerHandlers, ContainersService
from manager.images.image_handler import ImageHandler
from manager.images.image_repository_client import ImageRepositoryClient
from manager.interfaces import ImageResolver, NowMs
from manager.store.store import Store
from shoal import ids


def container_runs(store: Store, agents: AgentChannels, now_ms: NowMs) -> ContainerRuns:
    """The calls that start and stop containers, of one manager."""
    return ContainerRuns(store=store, now_ms=now_ms, tasks=TaskCalls(store=store, agents=ContainerChannels(agents)))


def containers_service(
    store: Store,
    agents: AgentChannels,
    images: ImageResolver,
    repository: ImageRepositoryClient,
    named: ImageHandler,
    now_ms: NowMs,
) -> ContainersService:
    """The service of one manager."""
    nodes = ContainerChannels(agents)
    tasks = TaskCalls(store=store, agents=nodes)
    records = ContainerHandler(store=store, images=images, sizes=nodes, now_ms=now_ms, new_id=ids.new_id)
    runs = ContainerRuns(store=store, now_ms=now_ms, tasks=tasks)
    return ContainersService(
        ContainerHandlers(
            records=records,
            runs=runs,
            first_run=ContainerFirstRun(records=records, runs=runs),
            removal=ContainerRemoval(store=store, sizes=nodes, now_ms=now_ms, tasks=tasks),
            waits=ContainerWaitHandler(store=store, tasks=tasks),
            execs=ContainerExecs(store=store, agents=nodes),
            networks=ContainerNetworkHandler(store=store, now_ms=now_ms),
            processes=ContainerProcesses(store=store, agents=nodes, streams=agents, now_ms=now_ms),
            files=ContainerFileHandler(store=store, agents=nodes),
            commits=ContainerCommit(store=store, agents=nodes, publisher=repository, names=named, now_ms=now_ms),
            orphans=OrphanRemoval(store=store, agents=nodes),
        )
    )
