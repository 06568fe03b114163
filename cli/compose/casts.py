"""Variables make texts; where the schema admits none, the text is what it says: `required: "${NEEDED:-false}"`."""

from collections.abc import Callable
from typing import Any

from cli.compose.tree import Map
from cli.compose.values import truth
from shoal.errors import InvalidInput

_CASTS: dict[tuple[str, str], Callable[[str], Any]] = {
    ("depends_on", "required"): truth,
    ("networks", "priority"): float,
}
"""By the key of a service whose entries have names, and the key of an entry."""


def cast(tree: Map) -> Map:
    """The model with such texts as truth values and numbers; one that is none stays, for the schema to tell."""
    services = tree.get("services")
    if not isinstance(services, Map):
        return tree
    for name, body in services.items():
        for (key, field), of_text in _CASTS.items():
            if isinstance(body, Map) and isinstance(body.get(key), Map):
                body = body.having(key, _entries(body[key], field, of_text))
        services = services.having(name, body)
    return tree.having("services", services)


def _entries(entries: Map, field: str, of_text: Callable[[str], Any]) -> Map:
    for name, entry in entries.items():
        if isinstance(entry, Map) and isinstance(entry.get(field), str):
            try:
                entries = entries.having(name, entry.having(field, of_text(entry[field])))
            except (InvalidInput, ValueError):
                continue
    return entries
