"""External resources (`external: true`), and the names that resources of a stack have in the cluster."""

from collections.abc import Iterator, Mapping
from typing import Any

from shoal.compose.reading.scalar_values import parse_bool
from shoal.compose.reading.yaml_tree import YamlPath
from shoal.errors import InvalidInput

_SECTIONS = ("networks", "volumes", "secrets", "configs")


def is_external(body: Mapping[str, Any]) -> bool:
    """Whether the file only refers to it. A mapping, `external: {name: …}`, is the older way to say yes."""
    value = body.get("external")
    if isinstance(value, Mapping):
        return True
    try:
        return value is not None and parse_bool(value)
    except InvalidInput:  # see `external_faults`
        return True


def resource_name(stack: str, name: str, body: Mapping[str, Any]) -> str:
    """The name that the cluster has for it: `name`, else the own one, with the stack's before it unless external."""
    if wanted := body.get("name") or _legacy_name(body):
        return str(wanted)
    return name if is_external(body) else f"{stack}_{name}"


def external_faults(tree: Mapping[str, Any]) -> Iterator[tuple[YamlPath, str]]:
    """What contradicts `external`: what is said of a thing that the stack does not make has no effect."""
    for section in _SECTIONS:
        entries = tree.get(section)
        for name, body in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(body, Mapping) and body.get("external") is not None:
                yield from (((section, name, *path), text) for path, text in _faults(body))


def _faults(body: Mapping[str, Any]) -> Iterator[tuple[YamlPath, str]]:
    value, older = body["external"], _legacy_name(body)
    if not isinstance(value, Mapping):
        try:
            parse_bool(value)
        except InvalidInput as error:
            yield ("external",), str(error)
            return
    if older and body.get("name") not in (None, older):
        yield ("external", "name"), f"{older!r} conflicts with name {body['name']!r}; use name only"
    for key in body if is_external(body) else ():
        if key not in ("external", "name") and not str(key).startswith("x-"):
            yield (key,), f"{key!r} cannot be combined with external"


def _legacy_name(body: Mapping[str, Any]) -> Any:
    value = body.get("external")
    return value.get("name") if isinstance(value, Mapping) else None
