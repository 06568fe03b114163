"""Filters of services (`docker service ls`, `docker stack services`)."""

from shoal.api.v1.control_pb2 import ServiceView
from shoal.filters.filters import Filters, beginning, exact, labelled

MODES = ("replicated", "global", "replicated-job", "global-job")


def mode_of(view: ServiceView) -> str:
    """As flags name it: "replicated-job"."""
    return (view.service.spec.WhichOneof("mode") or "").replace("_", "-")


SERVICES: Filters[ServiceView] = Filters(
    {
        "id": beginning(lambda view: view.service.meta.id),
        "label": labelled(lambda view: view.service.spec.labels),
        "mode": exact(mode_of, MODES),
        "name": beginning(lambda view: view.service.spec.name),
        "stack": exact(lambda view: view.service.spec.stack),
    }
)
