"""Filters of volumes (`docker volume ls`)."""

from shoal.api.v1.control_pb2 import VolumeView
from shoal.filters.filters import Filters, beginning, boolean, containing, exact, labelled

VOLUMES: Filters[VolumeView] = Filters(
    {
        "dangling": boolean(lambda view: not view.services),
        "driver": exact(lambda view: view.volume.spec.driver or "local"),
        "id": beginning(lambda view: view.volume.meta.id),
        "label": labelled(lambda view: view.volume.spec.labels),
        "moving": boolean(lambda view: bool(view.moving)),
        "name": containing(lambda view: view.volume.spec.name),
        "stack": exact(lambda view: view.volume.spec.stack),
    }
)
