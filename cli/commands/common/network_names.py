"""Replace network IDs in a stored spec with the names that users write."""

from cli.client import Client
from shoal.api.v1.control_pb2 import GetNetworkRequest
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.networks.network_modes import cluster_networks


def name_networks(client: Client, spec: ServiceSpec) -> None:
    """Put names in place of the ids; the server takes either."""
    for attachment in cluster_networks(spec.task):
        view = client.call(client.control.GetNetwork, GetNetworkRequest(network=attachment.network))
        attachment.network = view.network.spec.name
