"""Several files as one, by the Compose Specification, chapter "Merge and override"; `extends` merges in the same way.

Mappings are merged, lists are joined, single values of the later file win. Of what the specification excepts:
commands and a health check's `test` are replaced whole; lists of name=value are merged by name; ports, mounts,
secrets, configs and devices are unique by what they are in the container. `!reset` takes away, `!override` replaces.
"""

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from cli.compose.tree import Map, Override, Reset, Seq, YamlPath, place_of

_REPLACED = (("command",), ("entrypoint",), ("healthcheck", "test"))
_BY_NAME = (
    ("environment",),
    ("labels",),
    ("annotations",),
    ("sysctls",),
    ("extra_hosts",),
    ("build", "args"),
    ("build", "labels"),
    ("deploy", "labels"),
)
_BY_KEY = (("networks",), ("depends_on",))
_PORT = re.compile(r"^(?:(?P<ip>.*):)?(?P<published>[0-9-]*):(?P<target>[0-9-]+)$")


def merge(base: Mapping[str, Any], over: Mapping[str, Any], path: YamlPath = ()) -> Map:
    """`over` on top of `base`; neither is changed.

    Args:
        path: of both in their files, for the exceptions: () for whole files, ("services", name) for services.
    """
    items, places = dict(base), dict(getattr(base, "places", {}))
    for key, value in over.items():
        if isinstance(value, Reset):
            items.pop(key, None)
            continue
        known = items.get(key)
        items[key] = _merged(known, value, (*path, key)) if known is not None else settled(value)
        if (place := place_of(over, key)) is not None:
            places[key] = place
    return Map(items, places, getattr(over, "place", None) or getattr(base, "place", None))


def settled(value: Any) -> Any:
    """A value that is merged with nothing: what `!reset` marks is gone, what `!override` marks is plain."""
    if isinstance(value, Override):
        return settled(value.value)
    if isinstance(value, Map):
        kept = {key: settled(item) for key, item in value.items() if not isinstance(item, Reset)}
        return Map(kept, value.places, value.place)
    if isinstance(value, Seq):
        kept_items = [
            (settled(item), place)
            for item, place in zip(value, value.places, strict=True)
            if not isinstance(item, Reset)
        ]
        return Seq([item for item, _ in kept_items], [place for _, place in kept_items], value.place)
    return value


def _merged(base: Any, over: Any, path: YamlPath) -> Any:
    if isinstance(over, Override) or over is None:
        return settled(over)
    inside = path[2:] if path[0] == "services" else ()
    if inside in _REPLACED:
        return settled(over)
    if inside == ("logging",) and isinstance(base, dict) and isinstance(over, dict) and _driver(base) != _driver(over):
        return settled(over)
    listed = isinstance(base, list | dict) and isinstance(over, list | dict)
    if listed and (inside in _BY_NAME or (path[0] != "services" and path[-1] == "labels")):
        return merge(named(base), named(over), path)
    if listed and inside in _BY_KEY:
        return merge(_keyed(base), _keyed(over), path)
    if isinstance(base, dict) and isinstance(over, dict):
        return merge(base, over, path)
    if isinstance(base, list) and isinstance(over, list):
        return _joined(base, over, _UNIQUE.get(inside, _whole))
    return settled(over)


def _driver(logging: Mapping[str, Any]) -> Any:
    return logging.get("driver")


def _joined(base: list[Any], over: list[Any], key: Callable[[Any], Hashable]) -> Seq:
    """The items of both; one of `over` takes the place of one of `base` that has the same key."""
    found: dict[Hashable, tuple[Any, Any]] = {}
    for items in (base, over):
        for index, item in enumerate(items):
            if not isinstance(item, Reset):
                found[key(item)] = (settled(item), place_of(items, index))
    places = [place for _, place in found.values()]
    return Seq([item for item, _ in found.values()], places, getattr(over, "place", None))


def _whole(item: Any) -> Hashable:
    return repr(item)


def _port(item: Any) -> Hashable:
    if isinstance(item, dict):
        ip, target, published = (str(item.get(key) or "") for key in ("host_ip", "target", "published"))
        return ip, target, published, str(item.get("protocol") or "tcp")
    text, _, protocol = str(item).partition("/")
    match = _PORT.match(text)
    if match is None:
        return "", text, "", protocol or "tcp"
    return match["ip"] or "", match["target"], match["published"], protocol or "tcp"


def _mount(item: Any) -> Hashable:
    if isinstance(item, dict):
        return str(item.get("target") or repr(item))
    parts = str(item).split(":")
    return parts[1] if len(parts) > 1 else parts[0]


def _file(item: Any) -> Hashable:
    name = str(item.get("target") or item.get("source")) if isinstance(item, dict) else str(item)
    return name.removeprefix("/run/secrets/").removeprefix("/")


def _env_file(item: Any) -> Hashable:
    return str(item.get("path")) if isinstance(item, dict) else str(item)


_UNIQUE: Mapping[YamlPath, Callable[[Any], Hashable]] = {
    ("ports",): _port,
    ("volumes",): _mount,
    ("devices",): _mount,
    ("secrets",): _file,
    ("configs",): _file,
    ("env_file",): _env_file,
}


def named(value: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """A list of name=value (or a mapping) as a mapping; a name without value has None."""
    if isinstance(value, dict):
        return value if isinstance(value, Map) else dict(value)
    pairs: dict[str, Any] = {}
    places = {}
    for index, entry in enumerate(value):
        name, sign, text = str(entry).partition("=")
        pairs[name] = text if sign else None
        if (place := place_of(value, index)) is not None:
            places[name] = place
    return Map(pairs, places, getattr(value, "place", None))


def _keyed(value: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """A list of names as a mapping."""
    if isinstance(value, dict):
        return value
    places = {str(item): place for index, item in enumerate(value) if (place := place_of(value, index)) is not None}
    return Map({str(item): None for item in value}, places, getattr(value, "place", None))
