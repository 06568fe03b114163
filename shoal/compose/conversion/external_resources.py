"""External resources (`external: true`): what contradicts them."""

from collections.abc import Iterator, Mapping
from typing import Any

from shoal.compose.reading.scalar_values import parse_bool
from shoal.compose.reading.yaml_tree import YamlPath
from shoal.compose.stack_names import is_external, legacy_name
from shoal.errors import InvalidInput

_SECTIONS = ("networks", "volumes", "secrets", "configs")


def external_faults(tree: Mapping[str, Any]) -> Iterator[tuple[YamlPath, str]]:
    """What contradicts `external`: what is said of a thing that the stack does not make has no effect."""
    for section in _SECTIONS:
        entries = tree.get(section)
        for name, body in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(body, Mapping) and body.get("external") is not None:
                yield from (((section, name, *path), text) for path, text in _faults(body))


def _faults(body: Mapping[str, Any]) -> Iterator[tuple[YamlPath, str]]:
    value, older = body["external"], legacy_name(body)
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
