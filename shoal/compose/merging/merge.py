"""Merge files as in the Compose Specification, chapter "Merge and override"; `extends` merges in the same way.

Mappings are merged, lists are joined, single values of the later file win, and an empty one (null) leaves what is
there. Of what the specification excepts: commands and a health check's `test` are replaced whole; lists of name=value
are merged by name, and a name without value takes the value away; `networks` and `depends_on` are merged by name in
both of their forms; ports, mounts, secrets, configs and devices are unique by their place in the container. `!reset`
takes away, `!override` replaces.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from shoal.compose.merging.unique_items import uniqueness_key
from shoal.compose.reading.canonical_forms import (
    as_host_list,
    as_list,
    as_mapping,
    depends_on_as_mapping,
    networks_as_mapping,
)
from shoal.compose.reading.yaml_tree import Override, Reset, YamlList, YamlMap, YamlPath, item_location

_REPLACED_KEYS = (("command",), ("entrypoint",), ("healthcheck", "test"))
_MERGED_BY_NAME = (
    ("environment",),
    ("labels",),
    ("annotations",),
    ("sysctls",),
    ("build", "args"),
    ("build", "labels"),
    ("deploy", "labels"),
)
_MERGED_BY_KEY: Mapping[YamlPath, Callable[[Any], dict[str, Any]]] = {
    ("networks",): networks_as_mapping,
    ("depends_on",): depends_on_as_mapping,
}
_SINGLE_OR_LIST = (("dns",), ("dns_opt",), ("dns_search",), ("env_file",), ("label_file",), ("tmpfs",))
"""Lists that may be written as a single value."""


def merge(base: Mapping[str, Any], over: Mapping[str, Any], path: YamlPath = ()) -> YamlMap:
    """`over` on top of `base`; neither is changed.

    Args:
        path: of both in their files, for the exceptions: () for whole files, ("services", name) for services.
    """
    items, locations = dict(base), dict(getattr(base, "locations", {}))
    for key, value in over.items():
        if isinstance(value, Reset):
            items.pop(key, None)
            continue
        known = items.get(key)
        if value is None and known is not None and not _null_is_meaningful((*path, key)):
            continue
        items[key] = _merged(known, value, (*path, key)) if known is not None else resolve_tags(value)
        if (location := item_location(over, key)) is not None:
            locations[key] = location
    return YamlMap(items, locations, getattr(over, "location", None) or getattr(base, "location", None))


def resolve_tags(value: Any) -> Any:
    """A value that is merged with nothing: what `!reset` marks is gone, what `!override` marks is plain."""
    if isinstance(value, Override):
        return resolve_tags(value.value)
    if isinstance(value, YamlMap):
        kept = {key: resolve_tags(item) for key, item in value.items() if not isinstance(item, Reset)}
        return YamlMap(kept, value.locations, value.location)
    if isinstance(value, YamlList):
        kept_items = [
            (resolve_tags(item), location)
            for item, location in zip(value, value.locations, strict=True)
            if not isinstance(item, Reset)
        ]
        return YamlList([item for item, _ in kept_items], [location for _, location in kept_items], value.location)
    return value


def _null_is_meaningful(path: YamlPath) -> bool:
    """Whether null has a meaning: the image's command, or a variable whose value is the caller's."""
    return _below_service(path) in _REPLACED_KEYS or _is_by_name(path[:-1])


def _below_service(path: YamlPath) -> YamlPath:
    return path[2:] if path[:1] == ("services",) else ()


def _is_by_name(path: YamlPath) -> bool:
    labels_of_others = len(path) == 3 and path[0] != "services" and path[-1] == "labels"
    return _below_service(path) in _MERGED_BY_NAME or labels_of_others


def _merged(base: Any, over: Any, path: YamlPath) -> Any:
    inside = _below_service(path)
    if isinstance(over, Override) or over is None or inside in _REPLACED_KEYS:
        return resolve_tags(over)
    if inside == ("logging",) and _is_other_driver(base, over):
        return resolve_tags(over)
    if inside in _SINGLE_OR_LIST:
        return _joined(as_list(base), as_list(over), uniqueness_key(inside))
    both_mappings = isinstance(base, dict) and isinstance(over, dict)
    several = isinstance(base, list | dict) and isinstance(over, list | dict)
    if several and _is_by_name(path):
        return merge(as_mapping(base), as_mapping(over), path)
    if several and inside in _MERGED_BY_KEY:
        return merge(_MERGED_BY_KEY[inside](base), _MERGED_BY_KEY[inside](over), path)
    if several and inside == ("extra_hosts",) and not both_mappings:
        return _joined(as_host_list(base), as_host_list(over), repr)
    if both_mappings:
        return merge(base, over, path)
    if isinstance(base, list) and isinstance(over, list):
        if path[0] == "networks" and path[2:] == ("ipam", "config"):
            return _pools(base, over, path)
        return _joined(base, over, uniqueness_key(inside))
    return resolve_tags(over)


def _is_other_driver(base: Any, over: Any) -> bool:
    """Options of one log driver are none of another one's; a side without one has that of the other side."""
    drivers = {each.get("driver") for each in (base, over) if isinstance(each, dict)} - {None}
    return len(drivers) > 1


def _pools(base: list[Any], over: list[Any], path: YamlPath) -> YamlList:
    """A network's pools: a later file's is merged into that of its family, or takes its place with another subnet."""
    items, locations = list(base), [item_location(base, index) for index in range(len(base))]
    for index, item in enumerate(over):
        location = item_location(over, index)
        alike = [at for at, known in enumerate(items) if _is_ipv6(known) == _is_ipv6(item)]
        if len(alike) != 1 or not isinstance(item, YamlMap):
            items.append(resolve_tags(item))
            locations.append(location)
            continue
        known = items[alike[0]]
        items[alike[0]] = resolve_tags(item) if _differ(known, item) else merge(known, item, path)
        locations[alike[0]] = location
    return YamlList(items, locations, getattr(over, "location", None))


def _is_ipv6(pool: Any) -> bool | None:
    """Whether a pool is one of IPv6; None for what is no pool."""
    texts = (pool.get(key) for key in ("subnet", "gateway", "ip_range")) if isinstance(pool, Mapping) else None
    return any(":" in str(text) for text in texts) if texts is not None else None


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return len({each.get("subnet") for each in (one, other)} - {None}) > 1


def _joined(base: list[Any], over: list[Any], key: Callable[[Any], Hashable]) -> YamlList:
    """The items of both; one of `over` takes the place of one of `base` that has the same key."""
    found: dict[Hashable, tuple[Any, Any]] = {}
    for items in (base, over):
        for index, item in enumerate(items):
            if not isinstance(item, Reset):
                found[key(item)] = (resolve_tags(item), item_location(items, index))
    locations = [location for _, location in found.values()]
    return YamlList([item for item, _ in found.values()], locations, getattr(over, "location", None))
