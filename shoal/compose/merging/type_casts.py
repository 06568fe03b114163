"""Cast interpolated strings where the schema requires another type: `required: "${NEEDED:-false}"`."""

from collections.abc import Callable
from typing import Any

from shoal.compose.reading.scalar_values import parse_bool
from shoal.compose.reading.yaml_tree import YamlMap
from shoal.errors import InvalidInput

_CASTS: dict[tuple[str, str], Callable[[str], Any]] = {
    ("depends_on", "required"): parse_bool,
    ("networks", "priority"): float,
}
"""By the key of a service whose entries have names, and the key of an entry."""


def cast_strings(tree: YamlMap) -> YamlMap:
    """The model with such texts as booleans and numbers; others stay, and the schema check reports them."""
    services = tree.get("services")
    if not isinstance(services, YamlMap):
        return tree
    for name, body in services.items():
        for (key, field), of_text in _CASTS.items():
            if isinstance(body, YamlMap) and isinstance(body.get(key), YamlMap):
                body = body.with_item(key, _entries(body[key], field, of_text))
        services = services.with_item(name, body)
    return tree.with_item("services", services)


def _entries(entries: YamlMap, field: str, of_text: Callable[[str], Any]) -> YamlMap:
    for name, entry in entries.items():
        if isinstance(entry, YamlMap) and isinstance(entry.get(field), str):
            try:
                entries = entries.with_item(name, entry.with_item(field, of_text(entry[field])))
            except (InvalidInput, ValueError):
                continue
    return entries
