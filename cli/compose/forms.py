"""The several forms that Compose has for one thing, each as the one that is merged; places are kept."""

from collections.abc import Callable, Mapping
from typing import Any

from cli.compose.tree import Map, Place, Reset, Seq, place_of

_STARTED: Mapping[str, Any] = {"condition": "service_started", "required": True}
"""What a dependency means that is in a list (the specification, `depends_on`, short syntax)."""


def named(value: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """A list of name=value (or a mapping) as a mapping; a name without value has None."""
    if isinstance(value, dict):
        return value if isinstance(value, Map) else dict(value)

    def pair(entry: Any) -> tuple[str, Any]:
        name, sign, text = str(entry).partition("=")
        return name, text if sign else None

    return _mapped(value, pair)


def attached(value: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """`networks` of a service; a name in a list says nothing more."""
    return value if isinstance(value, dict) else _mapped(value, lambda entry: (str(entry), None))


def awaited(value: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """`depends_on`; a name in a list says that the other one is to be started."""
    return value if isinstance(value, dict) else _mapped(value, lambda entry: (str(entry), Map(_STARTED, {})))


def hosts(value: list[Any] | dict[str, Any]) -> Seq:
    """`extra_hosts` as texts name=address; a name in a mapping may have several addresses."""
    found: list[tuple[str, Place | None]] = []
    if isinstance(value, dict):
        for name, item in value.items():
            found += [
                (f"{name}={each}", place_of(value, name)) for each in (item if isinstance(item, list) else [item])
            ]
    else:
        texts = ((str(entry), index) for index, entry in enumerate(value) if not isinstance(entry, Reset))
        found = [(_equal_sign(text), place_of(value, index)) for text, index in texts]
    return Seq([text for text, _ in found], [place for _, place in found], getattr(value, "place", None))


def _equal_sign(text: str) -> str:
    """name:address, the older form, as name=address; an address of IPv6 has colons too."""
    name, sign, address = text.partition(":")
    return f"{name}={address}" if sign and "=" not in name else text


def listed(value: Any) -> list[Any]:
    """One value, or a list of them, as a list."""
    return value if isinstance(value, list) else Seq([value], [None])


def _mapped(value: list[Any], pair: Callable[[Any], tuple[str, Any]]) -> Map:
    items: dict[str, Any] = {}
    places: dict[str, Place] = {}
    for index, entry in enumerate(value):
        if isinstance(entry, Reset):
            continue
        name, item = pair(entry)
        items[name] = item
        if (place := place_of(value, index)) is not None:
            places[name] = place
    return Map(items, places, getattr(value, "place", None))
