"""Docker's filters of containers, those that need other records too. Pure."""

from collections.abc import Callable, Iterable

from manager.records.object_lookup import find_container
from manager.store.tables import View
from shoal.api.v1.engine_pb2 import ContainerView, Filter
from shoal.container_states import state_text
from shoal.filters.container_filters import container_filters

_FILTERS = container_filters(state_text)


def container_filter(view: View, filters: Iterable[Filter]) -> Callable[[ContainerView], bool]:
    """What the filters keep; values of the same key are alternatives.

    Raises:
        InvalidInput: an unknown key or value. NotFound: no such container (`before`, `since`).
    """
    given: dict[str, list[str]] = {}
    bounds: list[Callable[[ContainerView], bool]] = []
    for each in filters:
        if each.key in ("before", "since"):
            bounds.append(_bound(each.key, find_container(view, each.value).meta.created_at_ms))
        else:
            given.setdefault(each.key, []).append(_resolved(view, each))
    keeps = _FILTERS.parse_mapping(given)
    return lambda each: keeps(each) and all(holds(each) for holds in bounds)


def _bound(key: str, at_ms: int) -> Callable[[ContainerView], bool]:
    if key == "before":
        return lambda each: each.container.meta.created_at_ms < at_ms
    return lambda each: each.container.meta.created_at_ms > at_ms


def _resolved(view: View, each: Filter) -> str:
    """A network by name is meant by its id, which attachments have."""
    network = view.network_named(each.value) if each.key == "network" else None
    return network.meta.id if network is not None else each.value
