"""Several files as one, by the Compose Specification, chapter "Merge and override"; `extends` merges in the same way.

Mappings are merged, lists are joined, single values of the later file win, and one that says nothing (null) leaves what
is there. Of what the specification excepts: commands and a health check's `test` are replaced whole; lists of
name=value are merged by name, and a name without value takes the value away; `networks` and `depends_on` are merged by
name in both of their forms; ports, mounts, secrets, configs and devices are unique by what they are in the container.
`!reset` takes away, `!override` replaces.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from cli.compose.forms import attached, awaited, hosts, listed, named
from cli.compose.tree import Map, Override, Reset, Seq, YamlPath, place_of
from cli.compose.unique import key_of

_REPLACED = (("command",), ("entrypoint",), ("healthcheck", "test"))
_BY_NAME = (
    ("environment",),
    ("labels",),
    ("annotations",),
    ("sysctls",),
    ("build", "args"),
    ("build", "labels"),
    ("deploy", "labels"),
)
_BY_KEY: Mapping[YamlPath, Callable[[Any], dict[str, Any]]] = {("networks",): attached, ("depends_on",): awaited}
_ONE_OR_MANY = (("dns",), ("dns_opt",), ("dns_search",), ("env_file",), ("label_file",), ("tmpfs",))
"""Lists that may be written as a single value."""


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
        if value is None and known is not None and not _is_told_by_null((*path, key)):
            continue
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


def _is_told_by_null(path: YamlPath) -> bool:
    """Whether null says something: the image's command, or a variable whose value is the caller's."""
    return _inside(path) in _REPLACED or _is_by_name(path[:-1])


def _inside(path: YamlPath) -> YamlPath:
    return path[2:] if path[:1] == ("services",) else ()


def _is_by_name(path: YamlPath) -> bool:
    labels_of_others = len(path) == 3 and path[0] != "services" and path[-1] == "labels"
    return _inside(path) in _BY_NAME or labels_of_others


def _merged(base: Any, over: Any, path: YamlPath) -> Any:
    inside = _inside(path)
    if isinstance(over, Override) or over is None or inside in _REPLACED:
        return settled(over)
    if inside == ("logging",) and _is_other_driver(base, over):
        return settled(over)
    if inside in _ONE_OR_MANY:
        return _joined(listed(base), listed(over), key_of(inside))
    both_mappings = isinstance(base, dict) and isinstance(over, dict)
    several = isinstance(base, list | dict) and isinstance(over, list | dict)
    if several and _is_by_name(path):
        return merge(named(base), named(over), path)
    if several and inside in _BY_KEY:
        return merge(_BY_KEY[inside](base), _BY_KEY[inside](over), path)
    if several and inside == ("extra_hosts",) and not both_mappings:
        return _joined(hosts(base), hosts(over), repr)
    if both_mappings:
        return merge(base, over, path)
    if isinstance(base, list) and isinstance(over, list):
        if path[0] == "networks" and path[2:] == ("ipam", "config"):
            return _pools(base, over, path)
        return _joined(base, over, key_of(inside))
    return settled(over)


def _is_other_driver(base: Any, over: Any) -> bool:
    """Options of one log driver are none of another one's; a side that names none is of the other side's."""
    drivers = {each.get("driver") for each in (base, over) if isinstance(each, dict)} - {None}
    return len(drivers) > 1


def _pools(base: list[Any], over: list[Any], path: YamlPath) -> Seq:
    """A network's pools: a later file's is merged into that of its family, or takes its place with another subnet."""
    items, places = list(base), [place_of(base, index) for index in range(len(base))]
    for index, item in enumerate(over):
        place = place_of(over, index)
        alike = [at for at, known in enumerate(items) if _is_six(known) == _is_six(item)]
        if len(alike) != 1 or not isinstance(item, Map):
            items.append(settled(item))
            places.append(place)
            continue
        known = items[alike[0]]
        items[alike[0]] = settled(item) if _differ(known, item) else merge(known, item, path)
        places[alike[0]] = place
    return Seq(items, places, getattr(over, "place", None))


def _is_six(pool: Any) -> bool | None:
    """Whether a pool is one of IPv6; None for what is no pool."""
    texts = (pool.get(key) for key in ("subnet", "gateway", "ip_range")) if isinstance(pool, Mapping) else None
    return any(":" in str(text) for text in texts) if texts is not None else None


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return len({each.get("subnet") for each in (one, other)} - {None}) > 1


def _joined(base: list[Any], over: list[Any], key: Callable[[Any], Hashable]) -> Seq:
    """The items of both; one of `over` takes the place of one of `base` that has the same key."""
    found: dict[Hashable, tuple[Any, Any]] = {}
    for items in (base, over):
        for index, item in enumerate(items):
            if not isinstance(item, Reset):
                found[key(item)] = (settled(item), place_of(items, index))
    places = [place for _, place in found.values()]
    return Seq([item for item, _ in found.values()], places, getattr(over, "place", None))
