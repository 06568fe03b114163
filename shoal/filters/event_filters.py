"""Filters of events (`docker events`)."""

from collections.abc import Callable

from shoal.api.v1.event_pb2 import Event
from shoal.filters.filter_set import FilterSet, KeyFilter, exact_filter

TYPES = ("service", "task", "node", "network", "secret", "config", "volume", "container", "image")


def _is_about(kind: str) -> Callable[[Event, str], bool]:
    """Of the type, and with this name or beginning of an id."""

    def fits(event: Event, value: str) -> bool:
        return event.type == kind and bool(value) and (event.name == value or event.id.startswith(value))

    return fits


def _has_label(event: Event, value: str) -> bool:
    """A label of a container, by its name or with its value; labels are among the attributes, as in Docker."""
    name, equals, text = value.partition("=")
    return event.attributes.get(name) == text if equals else name in event.attributes


def _concerns_service(event: Event, value: str) -> bool:
    return event.service == value or _is_about("service")(event, value)


def _concerns_node(event: Event, value: str) -> bool:
    return event.node == value or _is_about("node")(event, value)


def _concerns_image(event: Event, value: str) -> bool:
    """Of an image, by its name or the beginning of its ID; or of a container of it."""
    if event.type == "container":
        return event.attributes.get("image", "") in (value, f"{value}:latest")
    name_fits = event.name in (value, f"{value}:latest")
    return event.type == "image" and bool(value) and (name_fits or event.id.removeprefix("sha256:").startswith(value))


EVENTS: FilterSet[Event] = FilterSet(
    {
        "action": exact_filter(lambda event: event.action),
        "container": KeyFilter(_is_about("container")),
        "config": KeyFilter(_is_about("config")),
        "event": exact_filter(lambda event: event.action),
        "label": KeyFilter(_has_label),
        "image": KeyFilter(_concerns_image),
        "network": KeyFilter(_is_about("network")),
        "node": KeyFilter(_concerns_node),
        "secret": KeyFilter(_is_about("secret")),
        "service": KeyFilter(_concerns_service),
        "stack": exact_filter(lambda event: event.stack),
        "task": KeyFilter(_is_about("task")),
        "type": exact_filter(lambda event: event.type, TYPES),
        "volume": KeyFilter(_is_about("volume")),
    }
)
"""`action` and `event` are the same."""
