"""Filters of networks (`docker network ls`)."""

from shoal.api.v1.control_pb2 import NetworkView
from shoal.filters.filter_set import (
    FilterSet,
    boolean_filter,
    exact_filter,
    label_filter,
    prefix_filter,
    substring_filter,
)

NETWORKS: FilterSet[NetworkView] = FilterSet(
    {
        "dangling": boolean_filter(lambda view: not view.services),
        "driver": exact_filter(lambda view: view.network.spec.driver),
        "id": prefix_filter(lambda view: view.network.meta.id),
        "internal": boolean_filter(lambda view: view.network.spec.internal),
        "label": label_filter(lambda view: view.network.spec.labels),
        "name": substring_filter(lambda view: view.network.spec.name),
        # Every network is one of the cluster, made by a user.
        "scope": exact_filter(lambda _: "swarm", ("swarm", "global", "local")),
        "stack": exact_filter(lambda view: view.network.spec.stack),
        "type": exact_filter(lambda _: "custom", ("custom", "builtin")),
    }
)
