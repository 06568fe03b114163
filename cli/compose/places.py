"""From the manager's words for a fault to the file's: which line of which file a field of a spec came from."""

import re
from collections.abc import Sequence

from cli.compose.faults import Faults
from cli.compose.tree import YamlPath, dotted, where
from shoal.errors import Fault

_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")

_SECTIONS = ("services", "networks", "volumes", "secrets", "configs")

_KEYS: tuple[tuple[str, YamlPath], ...] = (
    ("task.container.env", ("environment",)),
    ("task.container.labels", ("labels",)),
    ("task.container.workdir", ("working_dir",)),
    ("task.container.groups", ("group_add",)),
    ("task.container.hosts", ("extra_hosts",)),
    ("task.container.mounts", ("volumes",)),
    ("task.container.shm_size_bytes", ("shm_size",)),
    ("task.container.stop_grace_ms", ("stop_grace_period",)),
    ("task.container.health", ("healthcheck",)),
    ("task.container", ()),
    ("task.networks", ("networks",)),
    ("task.placement.max_per_node", ("deploy", "placement", "max_replicas_per_node")),
    ("task.placement.affinities", ("deploy", "placement", "x-affinities")),
    ("task.placement", ("deploy", "placement")),
    ("task.limits.nano_cpus", ("deploy", "resources", "limits", "cpus")),
    ("task.limits.memory_bytes", ("deploy", "resources", "limits", "memory")),
    ("task.limits", ("deploy", "resources", "limits")),
    ("task.reservations.nano_cpus", ("deploy", "resources", "reservations", "cpus")),
    ("task.reservations.memory_bytes", ("deploy", "resources", "reservations", "memory")),
    ("task.reservations.generic", ("deploy", "resources", "reservations", "generic_resources")),
    ("task.reservations", ("deploy", "resources", "reservations")),
    ("task.restart", ("deploy", "restart_policy")),
    ("task.log", ("logging",)),
    ("task.priority", ("deploy", "x-priority")),
    ("endpoint.ports", ("ports",)),
    ("endpoint.mode", ("deploy", "endpoint_mode")),
    ("update", ("deploy", "update_config")),
    ("rollback", ("deploy", "rollback_config")),
    ("autoscale", ("deploy", "x-autoscale")),
    ("schedule", ("x-schedule",)),
    ("replicated", ("deploy", "replicas")),
    ("replicated_job", ("deploy", "replicas")),
)
"""What a field of a service's spec is in a file; the first that fits is taken."""

_COUNTED_ANEW = {("environment",), ("volumes",), ("ports",)}
"""Keys whose entries are not one field each: ranges of ports, files of variables, `tmpfs` beside `volumes`."""


def located(tree: object, faults: Sequence[Fault], earlier: Faults) -> list[Fault]:
    """The manager's faults of a stack, told with file, line and column, and in the file's keys where it has them.

    Args:
        tree: the model that the specs were made of.
        earlier: what of it was at fault already; what follows from that is left out.
    """
    return [_located(tree, fault) for fault in faults if not earlier.covers(_wanted(fault))]


def _wanted(fault: Fault) -> YamlPath:
    """The path in a file that would have everything."""
    path = _parts(fault.path)
    return (*path[:2], *_in_file(path[2:])) if path[:1] == ("services",) else path


def _located(tree: object, fault: Fault) -> Fault:
    path = _parts(fault.path)
    if len(path) < 2 or path[0] not in _SECTIONS:
        return fault
    wanted = _wanted(fault)
    known = _present(tree, wanted)
    place = where(tree, known) if len(known) > 1 else None
    if place is None:
        return fault
    # A field that no key of the file stands for keeps its name in the spec.
    name = dotted(known) if len(known) > 2 or len(path) == 2 else fault.path
    return Fault(f"{place}: {name}", fault.message)


def _parts(path: str) -> YamlPath:
    return tuple(int(index) if index else name for name, index in _PART.findall(path))


def _in_file(field: YamlPath) -> YamlPath:
    for name, key in _KEYS:
        prefix = tuple(name.split("."))
        if field[: len(prefix)] == prefix:
            return key if key in _COUNTED_ANEW else (*key, *field[len(prefix) :])
    return field


def _present(tree: object, path: YamlPath) -> YamlPath:
    """As much of the path as the file has."""
    for length, part in enumerate(path):
        inside = part in tree if isinstance(tree, dict) else isinstance(part, int) and part < len(_items(tree))
        if not inside:
            return path[:length]
        tree = tree[part]  # type: ignore[index]
    return path


def _items(tree: object) -> Sequence[object]:
    return tree if isinstance(tree, list) else ()
