"""What one manager answers, and whether all has converged."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from google.protobuf.message import Message

from cli.client import Client
from shoal.api.v1.control_pb2 import (
    ListFilesRequest,
    ListManagersRequest,
    ListNetworksRequest,
    ListNodesRequest,
    ListServicesRequest,
    ListTasksRequest,
    ListVolumesRequest,
)
from shoal.api.v1.engine_pb2 import ListContainersRequest
from shoal.api.v1.engine_pb2_grpc import ContainersStub
from shoal.api.v1.file_pb2 import File
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.contexts.context_file import Context
from shoal.errors import ShoalError
from tests.chaos.checks.agreement import Records, ServiceCount, canonical, unconverged
from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.fault_kinds import AGENTS, MANAGERS
from tests.chaos.polling import until

_READY_SECONDS = 90.0


def client_of(context: Context, api: str) -> Client:
    """Of one manager alone.

    Args:
        api: host:port.
    """
    return Client(replace(context, addresses=(api,), discovered=()))


def answered_records(client: Client) -> Records:
    """All records that a manager answers whole. Raises ShoalError."""
    return {key: canonical(record) for key, record in _records(client)}


def _records(client: Client) -> Iterator[tuple[tuple[str, str], Message]]:
    control = client.control
    for service in client.call(control.ListServices, ListServicesRequest()).services:
        yield ("service", service.service.meta.id), service.service
        if service.HasField("status"):
            yield ("service status", service.service.meta.id), service.status
    yield from _tasks(client)
    for node in client.call(control.ListNodes, ListNodesRequest()).nodes:
        yield ("node", node.node.meta.id), node.node
        if node.node.spec.HasField("identity"):  # else it had no session, and the status is the API's own
            yield ("node status", node.node.meta.id), node.status
    for network in client.call(control.ListNetworks, ListNetworksRequest()).networks:
        yield ("network", network.network.meta.id), network.network
    for volume in client.call(control.ListVolumes, ListVolumesRequest()).volumes:
        yield ("volume", volume.volume.meta.id), volume.volume
    for kind, method in (("config", control.ListConfigs), ("secret", control.ListSecrets)):
        files = client.call(method, ListFilesRequest()).files
        yield from _named(kind, (File(meta=each.meta, spec=each.spec) for each in files))
    containers = client.call(ContainersStub(client.channel).ListContainers, ListContainersRequest(all=True)).containers
    yield from _named("container", (each.container for each in containers))


def _named(kind: str, records: Iterable[Message]) -> Iterator[tuple[tuple[str, str], Message]]:
    for record in records:
        yield (kind, record.meta.id), record  # type: ignore[attr-defined]


def _tasks(client: Client) -> Iterator[tuple[tuple[str, str], Message]]:
    for task in client.call(client.control.ListTasks, ListTasksRequest(include_ended=True)).tasks:
        yield ("task", task.task.id), task.task
        if task.HasField("status"):
            yield ("task status", task.task.id), task.status


def await_managers(cluster: ChaosCluster) -> None:
    """Until all managers run and one leads. Raises TimeoutError."""

    def ready() -> bool:
        with suppress(ShoalError), cluster.client() as client:
            views = client.call(client.control.ListManagers, ListManagersRequest()).managers
            return len(views) == len(MANAGERS) and all(each.alive for each in views) and any(v.leader for v in views)
        return False

    if not until(ready, _READY_SECONDS, 0.5):
        raise TimeoutError("a manager that was started again does not run")


def not_converged(client: Client) -> list[str]:
    """What has not converged yet, as the managers say. Raises ShoalError."""
    services = [
        ServiceCount(
            name=each.service.spec.name,
            is_job=each.service.spec.HasField("replicated_job"),
            desired=each.desired,
            running=each.running,
            completed=each.completed,
            problem="; ".join(each.status.problems),
        )
        for each in client.call(client.control.ListServices, ListServicesRequest()).services
    ]
    nodes = {
        each.node.spec.identity.hostname: NodeStatus.State.Name(each.status.state).lower()
        for each in client.call(client.control.ListNodes, ListNodesRequest()).nodes
        if each.node.spec.identity.hostname in AGENTS
    }
    managers = client.call(client.control.ListManagers, ListManagersRequest()).managers
    found = unconverged(services, nodes, sum(each.leader for each in managers))
    found += [f"manager {each.manager.id} is not running" for each in managers if not each.alive]
    return found
