"""YAML as plain values that know where they stand: mappings and lists carry the place of each of their items.

The places travel with the values through interpolation, merging, `extends` and `include`, so that a fault of the
finished model can name the file, line and column that it came from. Trees are not changed once they are made.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

YamlPath = tuple[str | int, ...]
"""Keys and indexes: ("services", "web", "ports", 0)."""


@dataclass(frozen=True)
class Place:
    """Where something stands, line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Map(dict[str, Any]):
    """A mapping. `place` is its own, `places` are those of its keys."""

    def __init__(self, items: Mapping[str, Any], places: Mapping[str, Place], place: Place | None = None) -> None:
        super().__init__(items)
        self.places = dict(places)
        self.place = place

    def without(self, *keys: str) -> "Map":
        """A copy that lacks these keys."""
        return Map({key: item for key, item in self.items() if key not in keys}, self.places, self.place)

    def having(self, key: str, value: Any, place: Place | None = None) -> "Map":
        """A copy with another value of a key, which stands where it stood unless told otherwise."""
        places = {**self.places, key: place} if place is not None else self.places
        return Map({**self, key: value}, places, self.place)


class Seq(list[Any]):
    """A list. `places` are those of its items."""

    def __init__(self, items: Iterable[Any], places: Iterable[Place | None], place: Place | None = None) -> None:
        super().__init__(items)
        self.places = list(places)
        self.place = place


class Reset:
    """`!reset`: the later file takes the value away."""


@dataclass(frozen=True)
class Override:
    """`!override`: the value stands in the earlier file's place and is not merged with it."""

    value: Any


def plainly(value: Any) -> Any:
    """The value itself, where `!override` marks it."""
    return value.value if isinstance(value, Override) else value


def where(value: Any, path: YamlPath) -> Place | None:
    """The place of what the path leads to, or of the nearest thing around it."""
    found: Place | None = getattr(value, "place", None)
    for part in path:
        nearer = None
        if isinstance(value, Map):
            nearer, value = value.places.get(str(part)), value.get(str(part))
        elif isinstance(value, Seq) and isinstance(part, int) and part < len(value):
            nearer, value = value.places[part], value[part]
        elif isinstance(value, Mapping):
            value = value.get(str(part))
        else:
            break
        found = nearer or found
    return found


def place_of(value: Any, key: str | int) -> Place | None:
    """The place of one item."""
    return where(value, (key,))


def plain(value: Any) -> Any:
    """The value as dict and list, to be printed."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def dotted(path: YamlPath) -> str:
    """ "services.web.ports[0]"."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
