"""Device nodes of the host for containers: reads their attributes, and builds the spec's sections."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from shoal.api.v1.container_pb2 import Device
from shoal.errors import Fault, InvalidInput

ALL_ACCESS = "rwm"
_DEV = Path("/dev")
# What every container has itself: terminals, shared memory, message queues, standard streams.
_OWN = frozenset({"pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"})
_RULE = re.compile(r"([abc]) (\d+|\*):(\d+|\*) ([rwm]{1,3})")


@dataclass(frozen=True)
class DeviceNode:
    """A device of a container.

    Attributes:
        path: in the container.
        kind: "c" or "b"; with `major` and `minor` the kernel's identifier of the device.
        access: letters of "rwm", for the device cgroup.
    """

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int
    access: str = ALL_ACCESS


def find_devices(desired: Sequence[Device]) -> list[DeviceNode]:
    """The nodes that a spec names; for a directory, all nodes in it.

    Raises:
        InvalidInput: paths that do not exist on this host, or are not devices.
    """
    found: list[DeviceNode] = []
    faults: list[Fault] = []
    for place, device in enumerate(desired):
        target, access = device.target or device.source, device.permissions or ALL_ACCESS
        nodes = nodes_at(Path(device.source), target, access)
        if not nodes:
            faults.append(Fault(f"spec.devices[{place}].source", f"{device.source} is not a device on this node"))
        found += nodes
    if faults:
        raise InvalidInput(faults)
    return found


def nodes_at(source: Path, target: str, access: str) -> list[DeviceNode]:
    """The node at a path of this host, or all nodes in a directory; empty if there is none."""
    return list(_nodes(source, PurePosixPath(target), access, frozenset()))


def all_devices() -> list[DeviceNode]:
    """All devices of the host, for a privileged container."""
    return list(_nodes(_DEV, PurePosixPath("/dev"), ALL_ACCESS, _OWN))


def devices_section(nodes: Sequence[DeviceNode]) -> list[dict[str, Any]]:
    """`linux.devices` of an OCI runtime spec (config-linux.md, "Devices"). The last entry of a path is used."""
    return [
        {
            "path": node.path,
            "type": node.kind,
            "major": node.major,
            "minor": node.minor,
            "fileMode": node.mode,
            "uid": node.uid,
            "gid": node.gid,
        }
        for node in {node.path: node for node in nodes}.values()
    ]


def device_rules(nodes: Sequence[DeviceNode], rules: Sequence[str], *, privileged: bool) -> list[dict[str, Any]]:
    """`linux.resources.devices`: only the given devices, or all devices if privileged.

    Raises:
        InvalidInput: a rule is not in the form "c 10:200 rwm".
    """
    if privileged:
        return [{"allow": True, "access": ALL_ACCESS}]
    named = [
        {"allow": True, "type": node.kind, "major": node.major, "minor": node.minor, "access": node.access}
        for node in nodes
    ]
    return [{"allow": False, "access": ALL_ACCESS}, *named, *map(_rule, rules)]


def _rule(text: str) -> dict[str, Any]:
    match = _RULE.fullmatch(text)
    if match is None:
        raise InvalidInput([Fault("spec.device_cgroup_rules", f'{text!r} must be in the form "c 10:200 rwm"')])
    numbers = {name: int(value) for name, value in (("major", match[2]), ("minor", match[3])) if value != "*"}
    return {"allow": True, "type": match[1], **numbers, "access": match[4]}


def _nodes(source: Path, target: PurePosixPath, access: str, omitted: frozenset[str]) -> Iterator[DeviceNode]:
    try:
        found = source.stat()
    except OSError:
        return
    if stat.S_ISDIR(found.st_mode):
        for entry in sorted(source.iterdir()):
            # A link's target is listed itself, or belongs to the container.
            if entry.name not in omitted and not entry.is_symlink():
                yield from _nodes(entry, target / entry.name, access, frozenset())
        return
    kind = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}.get(stat.S_IFMT(found.st_mode))
    if kind is not None:
        number, mode = found.st_rdev, stat.S_IMODE(found.st_mode)
        yield DeviceNode(
            str(target), kind, os.major(number), os.minor(number), mode, found.st_uid, found.st_gid, access
        )
