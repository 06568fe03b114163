"""Filters of services (`docker service ls`, `docker stack services`)."""

from shoal.api.v1.control_pb2 import ServiceView
from shoal.filters.filter_set import FilterSet, exact_filter, label_filter, prefix_filter

MODES = ("replicated", "global", "replicated-job", "global-job")


def mode_of(view: ServiceView) -> str:
    """As flags name it: "replicated-job"."""
    return (view.service.spec.WhichOneof("mode") or "").replace("_", "-")


SERVICES: FilterSet[ServiceView] = FilterSet(
    {
        "id": prefix_filter(lambda view: view.service.meta.id),
        "label": label_filter(lambda view: view.service.spec.labels),
        "mode": exact_filter(mode_of, MODES),
        "name": prefix_filter(lambda view: view.service.spec.name),
        "stack": exact_filter(lambda view: view.service.spec.stack),
    }
)
