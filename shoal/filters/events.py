"""Filters of events (`docker events`)."""

from collections.abc import Callable

from shoal.api.v1.event_pb2 import Event
from shoal.filters.filters import Filter, Filters, exact

TYPES = ("service", "task", "node", "network", "secret", "config", "volume")


def _about(kind: str) -> Callable[[Event, str], bool]:
    """Of the type, and with this name or beginning of an id."""

    def fits(event: Event, value: str) -> bool:
        return event.type == kind and bool(value) and (event.name == value or event.id.startswith(value))

    return fits


def _of_service(event: Event, value: str) -> bool:
    return event.service == value or _about("service")(event, value)


def _of_node(event: Event, value: str) -> bool:
    return event.node == value or _about("node")(event, value)


EVENTS: Filters[Event] = Filters(
    {
        "action": exact(lambda event: event.action),
        "config": Filter(_about("config")),
        "event": exact(lambda event: event.action),
        "network": Filter(_about("network")),
        "node": Filter(_of_node),
        "secret": Filter(_about("secret")),
        "service": Filter(_of_service),
        "stack": exact(lambda event: event.stack),
        "task": Filter(_about("task")),
        "type": exact(lambda event: event.type, TYPES),
        "volume": Filter(_about("volume")),
    }
)
"""`action` and `event` are the same."""
