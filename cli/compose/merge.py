"""Several files as one, by the Compose Specification, chapter "Merge".

Mappings are merged, lists are joined, single values of the later file win; `command`, `entrypoint` and a health check's
`test` are replaced whole; `environment`, `labels` and other lists of name=value are merged by name.
"""

from collections.abc import Mapping
from typing import Any

REPLACED = frozenset({"command", "entrypoint", "test"})
BY_NAME = frozenset({"environment", "labels", "sysctls"})


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        merged[key] = _merge_value(key, merged[key], value) if key in merged else value
    return merged


def _merge_value(key: str, base: Any, over: Any) -> Any:
    if key in REPLACED or base is None:
        return over
    if key in BY_NAME and isinstance(base, list | dict) and isinstance(over, list | dict):
        return {**named(base), **named(over)}
    if key == "networks" and isinstance(base, list | dict) and isinstance(over, list | dict):
        if isinstance(base, list) and isinstance(over, list):
            return [*base, *(item for item in over if item not in base)]
        return merge(_keys(base), _keys(over))
    if isinstance(base, dict) and isinstance(over, dict):
        return merge(base, over)
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *(item for item in over if item not in base)]
    return over


def named(value: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """A list of name=value (or a mapping) as a mapping; a name without value has None."""
    if isinstance(value, dict):
        return dict(value)
    pairs: dict[str, Any] = {}
    for entry in value:
        name, sign, text = str(entry).partition("=")
        pairs[name] = text if sign else None
    return pairs


def _keys(value: list[Any] | dict[str, Any]) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {str(item): None for item in value}
