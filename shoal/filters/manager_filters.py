"""Filters of managers and of join tokens."""

from shoal.api.v1.control_pb2 import JoinTokenView, ManagerView
from shoal.filters.filter_set import FilterSet, boolean_filter, exact_filter, prefix_filter


def status_of(view: ManagerView) -> str:
    """ "ready" or "down"."""
    return "ready" if view.alive else "down"


MANAGERS: FilterSet[ManagerView] = FilterSet(
    {
        "id": prefix_filter(lambda view: view.manager.id),
        "leader": boolean_filter(lambda view: view.leader),
        "status": exact_filter(status_of, ("ready", "down")),
    }
)
JOIN_TOKENS: FilterSet[JoinTokenView] = FilterSet(
    {
        "id": prefix_filter(lambda token: token.id),
        "role": exact_filter(lambda token: token.role, ("agent", "manager")),
    }
)
