"""What a test has left in the cluster: found over one connection, removed through the command line."""

from contextlib import suppress

from cli.client import Client
from shoal.api.v1.control_pb2 import (
    ListFilesRequest,
    ListNetworksRequest,
    ListNodesRequest,
    ListServicesRequest,
    ListVolumesRequest,
)
from shoal.api.v1.engine_pb2 import (
    ListContainersRequest,
    ListImagesRequest,
    RemoveContainerRequest,
    RemoveImageRequest,
)
from shoal.api.v1.engine_pb2_grpc import ContainersStub, ImagesStub
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.api.v1.volume_pb2 import Volume
from shoal.contexts.context_store import ContextStore
from shoal.errors import NotFound
from tests.integration.cluster.harness import Cluster, data_directories

_WITHOUT_TASKS = frozenset({NodeSpec.PAUSE, NodeSpec.DRAIN})


def remove_all(cluster: Cluster, *, keep_images: bool = False) -> None:
    """Remove all that the test has made, and have all nodes take tasks: no test depends on those that were before it.

    A volume left behind is one too many for a test that counts them, and its data for one that looks at the disks.

    Args:
        keep_images: the names of images stay, for those after it.
    """
    with Client(ContextStore(cluster.config).resolve(None, {})) as client:
        for name in _drained(client):  # by a test that failed before it gave the node back
            cluster.shoal("node", "update", "--availability", "active", name)
        _remove_containers(client)
        left = _leftovers(client)
        if left["volume"]:
            cluster.playground.wait_for_nodes(len(cluster.layout.all_hosts()))  # each deletes what it has
        for kind, names in left.items():
            if names:
                cluster.shoal(kind, "rm", *names)
        cluster.until(lambda: not _volumes(client), "the volumes to be deleted")
        if not keep_images:
            _remove_images(client)
    assert not data_directories(cluster), "nothing of them stays on a disk"


def _remove_containers(client: Client) -> None:
    containers = ContainersStub(client.channel)
    for each in client.call(containers.ListContainers, ListContainersRequest(all=True)).containers:
        name = each.container.meta.id
        client.call(containers.RemoveContainer, RemoveContainerRequest(container=name, force=True, remove_volumes=True))


def _remove_images(client: Client) -> None:
    images = ImagesStub(client.channel)
    for each in client.call(images.ListImages, ListImagesRequest()).images:
        with suppress(NotFound):  # it was another name of one that is removed
            client.call(images.RemoveImage, RemoveImageRequest(image=each.image.digest, force=True))


def _drained(client: Client) -> list[str]:
    nodes = client.call(client.control.ListNodes, ListNodesRequest()).nodes
    return [each.node.meta.id for each in nodes if each.node.spec.availability in _WITHOUT_TASKS]


def _leftovers(client: Client) -> dict[str, list[str]]:
    """Names by noun of the command line, in the order in which they can be removed."""
    control = client.control
    services = client.call(control.ListServices, ListServicesRequest()).services
    networks = client.call(control.ListNetworks, ListNetworksRequest()).networks
    secrets = client.call(control.ListSecrets, ListFilesRequest()).files
    configs = client.call(control.ListConfigs, ListFilesRequest()).files
    return {
        "service": [each.service.spec.name for each in services],
        "network": [each.network.spec.name for each in networks if not each.network.removing],
        "volume": [each.spec.name for each in _volumes(client) if not each.removing],
        "secret": [each.spec.name for each in secrets],
        "config": [each.spec.name for each in configs],
    }


def _volumes(client: Client) -> list[Volume]:
    return [each.volume for each in client.call(client.control.ListVolumes, ListVolumesRequest()).volumes]
