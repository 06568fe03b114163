"""Filters of secrets and configs (`docker secret ls`, `docker config ls`)."""

from shoal.api.v1.control_pb2 import FileView
from shoal.filters.filter_set import FilterSet, exact_filter, label_filter, prefix_filter

FILES: FilterSet[FileView] = FilterSet(
    {
        "id": prefix_filter(lambda view: view.meta.id),
        "label": label_filter(lambda view: view.spec.labels),
        "name": prefix_filter(lambda view: view.spec.name),
        "stack": exact_filter(lambda view: view.spec.stack),
    }
)
