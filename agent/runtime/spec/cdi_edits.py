"""Applies CDI container edits to an OCI runtime spec."""

import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.cdi.spec_document import Edits
from agent.runtime.spec.devices import DeviceNode, nodes_at
from shoal.errors import InvalidInput

_BINDS = frozenset({"bind", "rbind"})


def device_nodes(edits: Edits) -> list[DeviceNode]:
    """The device nodes on this host, with the edits' overrides.

    Raises:
        InvalidInput: a device does not exist.
    """
    return [node for desired in edits.device_nodes for node in _nodes(desired)]


def _nodes(desired: Mapping[str, Any]) -> list[DeviceNode]:
    path = str(desired["path"])
    source = str(desired.get("hostPath") or path)
    found = nodes_at(Path(source), path, str(desired.get("permissions") or "rwm"))
    if not found:
        raise InvalidInput(f"CDI device node {source} does not exist on this node")
    return [
        replace(
            node,
            mode=stat.S_IMODE(desired.get("fileMode") or node.mode),
            uid=desired.get("uid") or node.uid,
            gid=desired.get("gid") or node.gid,
        )
        for node in found
    ]


def apply_edits(section: dict[str, Any], edits: Edits) -> None:
    """Add variables, mounts, groups and hooks. Modifies the spec, which contains device nodes already."""
    process = section["process"]
    process["env"] = [*process.get("env", ()), *edits.env]
    section["mounts"] += [_mount(mount) for mount in edits.mounts]
    groups = [group for group in edits.groups if group]
    if groups:
        known = process["user"].get("additionalGids", [])
        process["user"]["additionalGids"] = [*known, *(group for group in groups if group not in known)]
    for hook in edits.hooks:
        entry = {key: hook[key] for key in ("path", "args", "env", "timeout") if key in hook}
        section.setdefault("hooks", {}).setdefault(hook["hookName"], []).append(entry)


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    options = [str(option) for option in mount.get("options") or ()]
    kind = str(mount.get("type") or "bind")
    if kind == "bind" and not _BINDS.intersection(options):
        options.append("rbind")
    target, source = str(mount["containerPath"]), str(mount["hostPath"])
    return {"destination": target, "type": kind, "source": source, "options": options}
