"""Filters of volumes (`docker volume ls`)."""

from shoal.api.v1.control_pb2 import VolumeView
from shoal.filters.filter_set import (
    FilterSet,
    boolean_filter,
    exact_filter,
    label_filter,
    prefix_filter,
    substring_filter,
)

VOLUMES: FilterSet[VolumeView] = FilterSet(
    {
        "dangling": boolean_filter(lambda view: not view.services),
        "driver": exact_filter(lambda view: view.volume.spec.driver or "local"),
        "id": prefix_filter(lambda view: view.volume.meta.id),
        "label": label_filter(lambda view: view.volume.spec.labels),
        "moving": boolean_filter(lambda view: bool(view.moves)),
        "name": substring_filter(lambda view: view.volume.spec.name),
        "stack": exact_filter(lambda view: view.volume.spec.stack),
    }
)
