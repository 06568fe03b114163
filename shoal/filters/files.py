"""Filters of secrets and configs (`docker secret ls`, `docker config ls`)."""

from shoal.api.v1.control_pb2 import FileView
from shoal.filters.filters import Filters, beginning, exact, labelled

FILES: Filters[FileView] = Filters(
    {
        "id": beginning(lambda view: view.meta.id),
        "label": labelled(lambda view: view.spec.labels),
        "name": beginning(lambda view: view.spec.name),
        "stack": exact(lambda view: view.spec.stack),
    }
)
