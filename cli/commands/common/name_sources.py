"""Names for shell completion, which queries the cluster with a short timeout."""

from collections.abc import Callable, Iterable

from cli.client import Client
from shoal.api.v1.control_pb2 import (
    ListFilesRequest,
    ListJoinTokensRequest,
    ListManagersRequest,
    ListNetworksRequest,
    ListNodesRequest,
    ListServicesRequest,
    ListTasksRequest,
    ListVolumesRequest,
)
from shoal.api.v1.task_pb2 import TaskState
from shoal.task_states import observed_state, task_name

TIMEOUT_SECONDS = 1.0

Names = Callable[[Client], Iterable[str]]


def _services(client: Client) -> Iterable[str]:
    views = client.call(client.control.ListServices, ListServicesRequest(), seconds=TIMEOUT_SECONDS).services
    return (view.service.spec.name for view in views)


def _stacks(client: Client) -> Iterable[str]:
    views = client.call(client.control.ListServices, ListServicesRequest(), seconds=TIMEOUT_SECONDS).services
    return (view.service.spec.stack for view in views)


def _tasks(client: Client) -> Iterable[str]:
    views = client.call(client.control.ListTasks, ListTasksRequest(), seconds=TIMEOUT_SECONDS).tasks
    return (view.task.id for view in views)


def _running_tasks(client: Client) -> Iterable[str]:
    """Names of the tasks in which a program can be run: "web.1"."""
    views = client.call(client.control.ListTasks, ListTasksRequest(), seconds=TIMEOUT_SECONDS).tasks
    running = (view for view in views if observed_state(view.task, view.status) == TaskState.RUNNING)
    return (task_name(view.service_name, view.task).removesuffix(f".{view.task.id}") for view in running)


def _nodes(client: Client) -> Iterable[str]:
    views = client.call(client.control.ListNodes, ListNodesRequest(), seconds=TIMEOUT_SECONDS).nodes
    return (view.status.description.hostname for view in views)


def _networks(client: Client) -> Iterable[str]:
    views = client.call(client.control.ListNetworks, ListNetworksRequest(), seconds=TIMEOUT_SECONDS).networks
    return (view.network.spec.name for view in views)


def _secrets(client: Client) -> Iterable[str]:
    views = client.call(client.control.ListSecrets, ListFilesRequest(), seconds=TIMEOUT_SECONDS).files
    return (view.spec.name for view in views)


def _configs(client: Client) -> Iterable[str]:
    views = client.call(client.control.ListConfigs, ListFilesRequest(), seconds=TIMEOUT_SECONDS).files
    return (view.spec.name for view in views)


def _volumes(client: Client) -> Iterable[str]:
    views = client.call(client.control.ListVolumes, ListVolumesRequest(), seconds=TIMEOUT_SECONDS).volumes
    return (view.volume.spec.name for view in views)


def _images(client: Client) -> Iterable[str]:
    """Names as people write them."""
    from shoal.api.v1.engine_pb2 import ListImagesRequest
    from shoal.api.v1.engine_pb2_grpc import ImagesStub
    from shoal.image_reference import parse

    views = client.call(ImagesStub(client.channel).ListImages, ListImagesRequest(), seconds=TIMEOUT_SECONDS).images
    return (parse(name).familiar for view in views for name in view.names)


def _containers(client: Client, *states: str) -> Iterable[str]:
    """Names of containers of one's own; with states, of those that are in one of them."""
    from shoal.api.v1.engine_pb2 import Filter, ListContainersRequest
    from shoal.api.v1.engine_pb2_grpc import ContainersStub

    request = ListContainersRequest(all=True, filters=[Filter(key="status", value=state) for state in states])
    views = client.call(ContainersStub(client.channel).ListContainers, request, seconds=TIMEOUT_SECONDS).containers
    return (view.container.name for view in views)


def _drivers(client: Client) -> Iterable[str]:
    """Drivers of volumes that a node has."""
    views = client.call(client.control.ListNodes, ListNodesRequest(), seconds=TIMEOUT_SECONDS).nodes
    return ("local", *(driver.name for view in views for driver in view.status.description.csi_drivers))


def _managers(client: Client) -> Iterable[str]:
    views = client.call(client.control.ListManagers, ListManagersRequest(), seconds=TIMEOUT_SECONDS).managers
    return (view.manager.id for view in views)


def _join_tokens(client: Client) -> Iterable[str]:
    tokens = client.call(client.control.ListJoinTokens, ListJoinTokensRequest(), seconds=TIMEOUT_SECONDS).tokens
    return (token.id for token in tokens)


NAME_SOURCES: dict[str, Names] = {
    "service": _services,
    "stack": _stacks,
    "task": _tasks,
    "running task": _running_tasks,
    "node": _nodes,
    "network": _networks,
    "secret": _secrets,
    "config": _configs,
    "volume": _volumes,
    "image": _images,
    "container": _containers,
    "running container": lambda client: _containers(client, "running", "paused", "restarting"),
    "stopped container": lambda client: _containers(client, "created", "exited"),
    "paused container": lambda client: _containers(client, "paused"),
    "driver": _drivers,
    "manager": _managers,
    "join token": _join_tokens,
}
