"""Filters of networks (`docker network ls`)."""

from shoal.api.v1.control_pb2 import NetworkView
from shoal.filters.filters import Filters, beginning, boolean, containing, exact, labelled

NETWORKS: Filters[NetworkView] = Filters(
    {
        "dangling": boolean(lambda view: not view.services),
        "driver": exact(lambda view: view.network.spec.driver),
        "id": beginning(lambda view: view.network.meta.id),
        "internal": boolean(lambda view: view.network.spec.internal),
        "label": labelled(lambda view: view.network.spec.labels),
        "name": containing(lambda view: view.network.spec.name),
        # Every network is one of the cluster, made by a user.
        "scope": exact(lambda _: "swarm", ("swarm", "global", "local")),
        "stack": exact(lambda view: view.network.spec.stack),
        "type": exact(lambda _: "custom", ("custom", "builtin")),
    }
)
