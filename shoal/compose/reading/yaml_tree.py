"""YAML values with source locations: mappings and lists carry the location of each of their items.

The locations travel with the values through interpolation, merging, `extends` and `include`, so that a fault of the
finished model can name the file, line and column that it came from. Trees are not changed once they are made.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

YamlPath = tuple[str | int, ...]
"""Keys and indexes: ("services", "web", "ports", 0)."""


@dataclass(frozen=True)
class SourceLocation:
    """Where something stands, line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class YamlMap(dict[str, Any]):
    """A mapping. `location` is its own, `locations` are those of its keys."""

    def __init__(
        self, items: Mapping[str, Any], locations: Mapping[str, SourceLocation], location: SourceLocation | None = None
    ) -> None:
        super().__init__(items)
        self.locations = dict(locations)
        self.location = location

    def without(self, *keys: str) -> "YamlMap":
        """A copy that lacks these keys."""
        return YamlMap({key: item for key, item in self.items() if key not in keys}, self.locations, self.location)

    def with_item(self, key: str, value: Any, location: SourceLocation | None = None) -> "YamlMap":
        """A copy with another value of a key, with the location that it had unless another one is given."""
        locations = {**self.locations, key: location} if location is not None else self.locations
        return YamlMap({**self, key: value}, locations, self.location)


class YamlList(list[Any]):
    """A list. `locations` are those of its items."""

    def __init__(
        self, items: Iterable[Any], locations: Iterable[SourceLocation | None], location: SourceLocation | None = None
    ) -> None:
        super().__init__(items)
        self.locations = list(locations)
        self.location = location


class Reset:
    """`!reset`: the later file takes the value away."""


@dataclass(frozen=True)
class Override:
    """`!override`: the value stands in the earlier file's place and is not merged with it."""

    value: Any


def untagged(value: Any) -> Any:
    """The value itself, where `!override` marks it."""
    return value.value if isinstance(value, Override) else value


def locate(value: Any, path: YamlPath) -> SourceLocation | None:
    """The location of the value at the path, or of the nearest one around it."""
    found: SourceLocation | None = getattr(value, "location", None)
    for part in path:
        nearer = None
        if isinstance(value, YamlMap):
            nearer, value = value.locations.get(str(part)), value.get(str(part))
        elif isinstance(value, YamlList) and isinstance(part, int) and part < len(value):
            nearer, value = value.locations[part], value[part]
        elif isinstance(value, Mapping):
            value = value.get(str(part))
        else:
            break
        found = nearer or found
    return found


def item_location(value: Any, key: str | int) -> SourceLocation | None:
    """The location of one item."""
    return locate(value, (key,))


def to_plain(value: Any) -> Any:
    """The value as dict and list, to be printed."""
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_plain(item) for item in value]
    return value


def format_path(path: YamlPath) -> str:
    """ "services.web.ports[0]"."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
