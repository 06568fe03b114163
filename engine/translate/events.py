"""Events of the cluster as Docker's. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.protocol.errors import bad_request
from engine.protocol.parameters import Filters, check_keys
from engine.translate.containers.container_creation import familiar_image
from engine.translate.object_ids import builtin_network_id, digits
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.event_pb2 import Event
from shoal.networks.network_modes import MODES

FILTERS = (
    "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope", "secret",
    "service", "type", "volume",
)  # fmt: skip
TYPES = ("container", "image", "network", "volume", "service", "node", "secret", "config")

_LOCAL = ("container", "image", "network", "volume")
_LEGACY = ("container", "image")
"""Types whose events have `status` and `id` too, as before version 1.22."""
_DESTROYED = ("network", "volume")
"""Types whose removal Docker calls `destroy`, and whose other events are of a container."""


def event_document(event: Event) -> dict[str, Any] | None:
    """Docker's form of an event; None for what Docker has no event of."""
    if event.type not in TYPES or (event.type in _DESTROYED and event.action == "update"):
        return None
    action = "destroy" if event.action == "remove" and event.type in _DESTROYED else event.action
    identifier = _identifier(event)
    attributes = _attributes(event)
    document: dict[str, Any] = {}
    if event.type in _LEGACY:
        document |= {"status": action, "id": identifier}
    if event.type == "container":
        document["from"] = attributes.get("image", "")
    return document | {
        "Type": event.type,
        "Action": action,
        "Actor": {"ID": identifier, "Attributes": attributes},
        "scope": "local" if event.type in _LOCAL else "swarm",
        "time": event.at_ms // 1000,
        "timeNano": event.at_ms * 1_000_000,
    }


def container_event(view: ContainerView, action: str, attributes: Mapping[str, str], *, at_ms: int) -> Event:
    """An event of a container, with the attributes that all of them have."""
    container = view.container
    spec = container.definition.task.container
    identifier = container.meta.id or view.task.id
    event = Event(
        type="container", action=action, id=identifier, name=container.name, node=view.node_hostname, at_ms=at_ms
    )
    event.attributes.update({**spec.labels, **container.definition.labels})
    event.attributes.update({"name": container.name, "image": familiar_image(spec.image), **attributes})
    return event


def _identifier(event: Event) -> str:
    if event.type == "volume":
        return event.name
    if event.type == "network" and event.id in MODES:
        return builtin_network_id(event.id)
    return digits(event.id) if event.type in ("container", "network") else event.id


def event_filter(filters: Filters) -> Callable[[Mapping[str, Any]], bool]:
    """Which documents a client gets; of several values of a key any, of labels all.

    Raises:
        ApiError: 400, an unknown key.
    """
    check_keys(filters, FILTERS)
    for value in filters.get("type", ()):
        if value not in (*TYPES, "daemon", "plugin", "builder"):
            raise bad_request(f"invalid filter 'type={value}'")

    def keeps(document: Mapping[str, Any]) -> bool:
        return all(_keeps(document, key, values) for key, values in filters.items() if values)

    return keeps


def _keeps(document: Mapping[str, Any], key: str, values: Iterable[str]) -> bool:
    attributes: Mapping[str, str] = document["Actor"]["Attributes"]
    if key == "label":
        return all(_has_label(attributes, value) for value in values)
    return any(_fits(document, attributes, key, value) for value in values)


def _fits(document: Mapping[str, Any], attributes: Mapping[str, str], key: str, value: str) -> bool:
    match key:
        case "type":
            return bool(document["Type"] == value)
        case "event":
            action = str(document["Action"])
            return action == value or action.partition(":")[0] == value
        case "scope":
            return bool(document["scope"] == value)
        case "image":
            image = attributes.get("image", attributes.get("name", ""))
            return value in (image, image.partition(":")[0], document["Actor"]["ID"])
        case "daemon" | "plugin":
            return False
        case _:
            named = attributes.get("container" if key == "container" and document["Type"] == "network" else "name", "")
            of_type = document["Type"] == key or (key == "container" and document["Type"] == "network")
            return of_type and (named == value or str(document["Actor"]["ID"]).startswith(value))


def _attributes(event: Event) -> dict[str, str]:
    found = dict(event.attributes)
    found.setdefault("name", event.name)
    if event.type == "network":
        found.setdefault("type", "bridge")
    if event.type == "volume":
        found.setdefault("driver", "local")
    if event.type in _DESTROYED and (container := found.get("container")):
        found["container"] = digits(container)
    if event.node:
        found.setdefault("node.name", event.node)
    return found


def _has_label(attributes: Mapping[str, str], text: str) -> bool:
    name, sign, value = text.partition("=")
    return name in attributes and (not sign or attributes[name] == value)
