"""Canonical forms: each of the syntaxes that Compose has for a value, as the one that is merged."""

from collections.abc import Callable, Mapping
from typing import Any

from shoal.compose.reading.yaml_tree import Reset, SourceLocation, YamlList, YamlMap, item_location

_DEFAULT_DEPENDENCY: Mapping[str, Any] = {"condition": "service_started", "required": True}
"""What a dependency means that is in a list (the specification, `depends_on`, short syntax)."""


def as_mapping(value: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """A list of name=value (or a mapping) as a mapping; a name without value has None."""
    if isinstance(value, dict):
        return value if isinstance(value, YamlMap) else dict(value)

    def pair(entry: Any) -> tuple[str, Any]:
        name, sign, text = str(entry).partition("=")
        return name, text if sign else None

    return _list_to_mapping(value, pair)


def networks_as_mapping(value: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """`networks` of a service; a name in a list says nothing more."""
    return value if isinstance(value, dict) else _list_to_mapping(value, lambda entry: (str(entry), None))


def depends_on_as_mapping(value: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """`depends_on`; a name in a list says that the other one is to be started."""
    return (
        value
        if isinstance(value, dict)
        else _list_to_mapping(value, lambda entry: (str(entry), YamlMap(_DEFAULT_DEPENDENCY, {})))
    )


def as_host_list(value: list[Any] | dict[str, Any]) -> YamlList:
    """`extra_hosts` as texts name=address; a name in a mapping may have several addresses."""
    found: list[tuple[str, SourceLocation | None]] = []
    if isinstance(value, dict):
        for name, item in value.items():
            found += [
                (f"{name}={each}", item_location(value, name)) for each in (item if isinstance(item, list) else [item])
            ]
    else:
        texts = ((str(entry), index) for index, entry in enumerate(value) if not isinstance(entry, Reset))
        found = [(_normalize_host(text), item_location(value, index)) for text, index in texts]
    return YamlList([text for text, _ in found], [location for _, location in found], getattr(value, "location", None))


def _normalize_host(text: str) -> str:
    """name:address, the older form, as name=address; an address of IPv6 has colons too."""
    name, sign, address = text.partition(":")
    return f"{name}={address}" if sign and "=" not in name else text


def as_list(value: Any) -> list[Any]:
    """One value, or a list of them, as a list."""
    return value if isinstance(value, list) else YamlList([value], [None])


def _list_to_mapping(value: list[Any], pair: Callable[[Any], tuple[str, Any]]) -> YamlMap:
    items: dict[str, Any] = {}
    locations: dict[str, SourceLocation] = {}
    for index, entry in enumerate(value):
        if isinstance(entry, Reset):
            continue
        name, item = pair(entry)
        items[name] = item
        if (location := item_location(value, index)) is not None:
            locations[name] = location
    return YamlMap(items, locations, getattr(value, "location", None))
