"""What a test has left in the cluster: found over one connection, removed through the command line."""

from contextlib import suppress

from cli.client import Client
from shoal.api.v1.control_pb2 import (
    ListFilesRequest,
    ListNetworksRequest,
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
from shoal.api.v1.volume_pb2 import Volume
from shoal.contexts.context_store import ContextStore
from shoal.errors import NotFound
from tests.integration.cluster.harness import Cluster, data_directories
from tests.integration.cluster.restored_hosts import connect_hosts, restore_nodes


def remove_all(cluster: Cluster, *, keep_images: bool = False) -> None:
    """Remove all that the test has made, and restore hosts and nodes: no test depends on those that were before it.

    A volume left behind is one too many for a test that counts them, and its data for one that looks at the disks.

    Args:
        keep_images: the names of images stay, for those after it.
    """
    connect_hosts(cluster)
    with Client(ContextStore(cluster.config).resolve(None, {})) as client:
        restore_nodes(cluster, client)
        _remove_containers(client)
        left = _leftovers(client)
        for kind, names in left.items():
            if kind == "secret":  # drivers need theirs until then
                cluster.until(lambda: not _volumes(client), "the volumes to be deleted")
            if names:
                cluster.quick(kind, "rm", *names)
        if not keep_images:
            _remove_images(client)
    assert not data_directories(cluster), "nothing of them stays on a disk"


def _remove_containers(client: Client) -> None:
    containers = ContainersStub(client.channel)
    for each in client.call(containers.ListContainers, ListContainersRequest(all=True)).containers:
        request = RemoveContainerRequest(container=each.container.meta.id, force=True, remove_volumes=True)
        with suppress(NotFound):  # its run has ended meanwhile, and it was removed with it
            client.call(containers.RemoveContainer, request)


def _remove_images(client: Client) -> None:
    images = ImagesStub(client.channel)
    for each in client.call(images.ListImages, ListImagesRequest()).images:
        with suppress(NotFound):  # it was another name of one that is removed
            client.call(images.RemoveImage, RemoveImageRequest(image=each.image.digest, force=True))


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
