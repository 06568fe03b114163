"""Translate the manager's errors, which name fields of specs, to file, line, column and key."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.compose.conversion import deploy_keys
from shoal.compose.conversion.compose_networks import by_priority
from shoal.compose.faults import FaultLog
from shoal.compose.reading.scalar_values import string_list
from shoal.compose.reading.yaml_tree import YamlPath, format_path, locate
from shoal.compose.spec_keys import compose_keys
from shoal.compose.stack_names import StackNames
from shoal.errors import Fault, InvalidInput

_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")

_MENTIONED_FIELDS = re.compile(r"task\.(reservations|limits)\.(nano_cpus|memory_bytes)")
"""Fields that a fault of another one names."""

_SECTIONS = ("services", "networks", "volumes", "secrets", "configs")


def locate_faults(tree: object, faults: Sequence[Fault], earlier: FaultLog, names: StackNames) -> list[Fault]:
    """The manager's faults of a stack, with file, line and column, and with the file's keys.

    Args:
        tree: the model that the specs were made of.
        earlier: what of it was at fault already; what follows from that is left out.
        names: the faults' paths have the cluster's names, "services.shop_web.task…".
    """
    found = [(fault, _target(tree, _parts(fault.path), names)) for fault in faults]
    return [_locate(tree, fault, target) for fault, target in found if not earlier.is_known_faulty(target.path)]


class _FaultTarget:
    """What a fault is about.

    Args:
        key: of the file, as far as it is known to be one.
        rest: the part of the field below that key; the file may have it in another form.
    """

    def __init__(self, key: YamlPath, rest: YamlPath = ()) -> None:
        self.key = key
        self.path = (*key, *rest)


def _target(tree: object, path: YamlPath, names: StackNames) -> _FaultTarget:
    if len(path) < 2 or path[0] not in _SECTIONS or not isinstance(tree, Mapping):
        return _FaultTarget(path)
    section = str(path[0])
    entries = _mapping(tree.get(section))
    name = names.key_of(entries, str(path[1])) or path[1]
    entry = _mapping(entries.get(name))
    candidates = []
    for key, rest in compose_keys(section, path[2:]):
        key, rest = _file_index(entry, key, rest) if section == "services" else (_file_pool(entry, key, path[2:]), rest)
        candidates.append(_FaultTarget((section, name, *key), rest))
    return max(candidates, key=lambda each: len(_present(tree, each.key)))  # the first of those that are the same


def _file_pool(network: Mapping[str, Any], key: YamlPath, field: YamlPath) -> YamlPath:
    """The pool of the field's family."""
    if key[:2] != ("ipam", "config"):
        return key
    six = str(field[0]).endswith("6")
    pools = _items(_mapping(network.get("ipam")).get("config"))
    own = [
        index for index, pool in enumerate(pools) if any(":" in str(each) for each in _mapping(pool).values()) == six
    ]
    return (*key[:2], *own[:1], *key[2:])


def _file_index(service: Mapping[str, Any], key: YamlPath, rest: YamlPath) -> tuple[YamlPath, YamlPath]:
    """The key with the entry that the file has, where the spec counts in another way than the file."""
    counted = key[1:2] or rest[:1] if key else ()
    if not counted or not isinstance(counted[0], int):
        return key, rest
    inside, index = len(key) > 1 and key[1] == counted[0], counted[0]
    found = _file_entry(service, str(key[0]), index)
    return ((key[0], *found, *key[2:]), rest) if inside else ((key[0], *found), rest[1:])


def _file_entry(service: Mapping[str, Any], key: str, index: int) -> YamlPath:
    """Where the spec's entry with an index is in the file; nothing where only the whole key can be named."""
    value = service.get(key)
    match key:
        case "networks":
            return tuple(by_priority(value)[index : index + 1]) if isinstance(value, dict) else (index,)
        case "ports":
            owners = [number for number, port in enumerate(_items(value)) for _ in range(_port_count(port))]
            return tuple(owners[index : index + 1])
        case "volumes":  # mounts in memory come first
            return (
                (index - len(string_list(service.get("tmpfs"))),)
                if index >= len(string_list(service.get("tmpfs")))
                else (-1,)
            )
        case "environment" | "env_file" | "labels" | "links":
            return ()
    if isinstance(value, dict):
        return tuple(list(value)[index : index + 1]) if key in ("depends_on", "ulimits") else ()
    return (index,) if isinstance(value, list) else ()


def _port_count(entry: Any) -> int:
    spec = ServiceSpec()
    try:
        deploy_keys.add_port(spec, entry)
    except InvalidInput:  # reported already
        return 1
    return len(spec.endpoint.ports)


def _locate(tree: object, fault: Fault, target: _FaultTarget) -> Fault:
    known = _present(tree, target.path)
    location = locate(tree, known) if len(known) > 1 else None
    if location is None:
        return fault
    # A key that the file does not have is named all the same: it is the one to add.
    return Fault(
        f"{location}: {format_path(max(known, target.key, key=len))}",
        _MENTIONED_FIELDS.sub(_mentioned_key, fault.message),
    )


def _mentioned_key(mention: re.Match[str]) -> str:
    resource = "cpus" if mention[2] == "nano_cpus" else "memory"
    return f"`deploy.resources.{mention[1]}.{resource}`"


def _parts(path: str) -> YamlPath:
    return tuple(int(index) if index else name for name, index in _PART.findall(path))


def _present(tree: object, path: YamlPath) -> YamlPath:
    """As much of the path as the file has; a name with dots in it is one key."""
    found: list[str | int] = []
    parts = list(path)
    while parts:
        whole = ".".join(map(str, parts))
        part = whole if isinstance(tree, dict) and whole in tree else parts[0]
        inside = part in tree if isinstance(tree, dict) else isinstance(part, int) and 0 <= part < len(_items(tree))
        if not inside:
            break
        found.append(part)
        tree = tree[part]  # type: ignore[index]
        parts = [] if part == whole else parts[1:]
    return tuple(found)


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(tree: object) -> Sequence[object]:
    return tree if isinstance(tree, list) else ()
