"""Unique keys of list items, by which the item of a later file replaces that of an earlier one.

The Compose Specification, chapter "Merge and override", section "Unique resources", and "extends" for devices.
"""

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from shoal.compose.reading.yaml_tree import YamlPath

_PORT = re.compile(r"^(?:(?P<ip>.*):)?(?P<published>[0-9-]*):(?P<target>[0-9-]+)$")
_EVERYWHERE = "0.0.0.0"  # noqa: S104  # what a port without an address means


def uniqueness_key(path: YamlPath) -> Callable[[Any], Hashable]:
    """The function that gives the unique key of an item of a service's list.

    Args:
        path: below the service.
    """
    return _KEYS.get(path, repr)


def _port(item: Any) -> Hashable:
    if isinstance(item, dict):
        ip, target, published = (str(item.get(key) or "") for key in ("host_ip", "target", "published"))
        return ip or _EVERYWHERE, target, published, str(item.get("protocol") or "tcp")
    text, _, protocol = str(item).partition("/")
    match = _PORT.match(text)
    if match is None:
        return _EVERYWHERE, text, "", protocol or "tcp"
    return match["ip"] or _EVERYWHERE, match["target"], match["published"], protocol or "tcp"


def _mount(item: Any) -> Hashable:
    if isinstance(item, dict):
        target = str(item.get("target") or item.get("source") or repr(item))
    else:
        parts = str(item).split(":")
        target = parts[1] if len(parts) > 1 else parts[0]
    return target.rstrip("/") or target


def _tmpfs(item: Any) -> Hashable:
    return str(item).partition(":")[0]


def _file(item: Any) -> Hashable:
    name = str(item.get("target") or item.get("source")) if isinstance(item, dict) else str(item)
    return name.removeprefix("/run/secrets/").removeprefix("/")


def _path(item: Any) -> Hashable:
    return str(item.get("path")) if isinstance(item, dict) else str(item)


_KEYS: Mapping[YamlPath, Callable[[Any], Hashable]] = {
    ("ports",): _port,
    ("volumes",): _mount,
    ("devices",): _mount,
    ("tmpfs",): _tmpfs,
    ("secrets",): _file,
    ("configs",): _file,
    ("env_file",): _path,
    **{("blkio_config", f"device_{way}_{unit}"): _path for way in ("read", "write") for unit in ("bps", "iops")},
    ("blkio_config", "weight_device"): _path,
}
