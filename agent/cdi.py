"""Devices by the Container Device Interface: what this host's specs name, and what a container gets with each.

Source: SPEC.md of cncf-tags/container-device-interface, versions 0.3.0 to 1.0.0. Specs are JSON or YAML; those of a
later directory win, and a device that two specs of one directory name is nobody's.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shoal.api.v1.meta_pb2 import GenericResource
from shoal.cdi_names import ALL, is_device, is_kind
from shoal.errors import InvalidInput

_log = logging.getLogger(__name__)

DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))
LARGEST = 1 << 20
"""Bytes of a spec."""
MOST_DEVICES = 1_000
"""Of a kind."""

_HOOKS = frozenset({"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"})
_EDITS = frozenset({"env", "deviceNodes", "mounts", "hooks", "additionalGids"})


@dataclass(frozen=True)
class Edits:
    """What is changed of a container: the fields of CDI's `containerEdits`, as they stand in the spec."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[Mapping[str, Any], ...] = ()
    hooks: tuple[Mapping[str, Any], ...] = ()
    groups: tuple[int, ...] = ()

    def __add__(self, other: "Edits") -> "Edits":
        return Edits(
            self.env + other.env,
            self.device_nodes + other.device_nodes,
            self.mounts + other.mounts,
            self.hooks + other.hooks,
            self.groups + other.groups,
        )


@dataclass(frozen=True)
class _Spec:
    """One file. `common` is for every container that gets any of its devices."""

    path: Path
    kind: str
    devices: Mapping[str, Edits]
    common: Edits = field(default_factory=Edits)


class Registry:
    """All devices that the specs of some directories name."""

    def __init__(self, specs: Iterable[Sequence[_Spec]]) -> None:
        """`specs` are those of each directory, the least important first."""
        self._known: dict[tuple[str, str], _Spec] = {}
        for of_directory in specs:
            found: dict[tuple[str, str], list[_Spec]] = defaultdict(list)
            for spec in of_directory:
                for name in spec.devices:
                    found[spec.kind, name].append(spec)
            for device, claims in found.items():
                if len(claims) > 1:
                    _log.warning("CDI device %s=%s is in %s too, and so in none", *device, claims[1].path)
                    self._known.pop(device, None)
                else:
                    self._known[device] = claims[0]

    def resources(self) -> list[GenericResource]:
        """The kinds and the names of devices that tasks may have to themselves."""
        kinds: dict[str, list[str]] = defaultdict(list)
        for kind, name in sorted(self._known):
            if name != ALL:
                kinds[kind].append(name)
        return [GenericResource(kind=kind, names=names[:MOST_DEVICES]) for kind, names in kinds.items()]

    def edits(self, devices: Iterable[tuple[str, str]]) -> Edits:
        """What a container with these devices gets, what they have in common once.

        Raises:
            InvalidInput: one that no spec names.
        """
        whole, specs = Edits(), dict[Path, None]()
        for kind, name in devices:
            spec = self._known.get((kind, name))
            if spec is None:
                raise InvalidInput(f"no CDI spec of this host names the device {kind}={name}")
            if spec.path not in specs:
                specs[spec.path] = None
                whole += spec.common
            whole += spec.devices[name]
        return whole


def read(directories: Sequence[Path]) -> Registry:
    """Read all specs. One that cannot be understood is told of in the log, and left out."""
    return Registry([list(_specs_in(directory)) for directory in directories])


def _specs_in(directory: Path) -> Iterator[_Spec]:
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir()):
        if path.suffix not in (".json", ".yaml", ".yml"):
            continue
        try:
            if path.stat().st_size > LARGEST:
                raise InvalidInput(f"it is larger than {LARGEST} bytes")
            text = path.read_text()
            yield parse(path, json.loads(text) if path.suffix == ".json" else yaml.safe_load(text))
        except (OSError, ValueError, yaml.YAMLError, InvalidInput) as error:
            _log.warning("the CDI spec %s is left out: %s", path, error)


def parse(path: Path, document: Any) -> _Spec:
    """One spec.

    Raises:
        InvalidInput: it is of another form, or asks for what containers here cannot have.
    """
    if not isinstance(document, dict) or not is_kind(str(document.get("kind", ""))):
        raise InvalidInput("it has no kind of the form vendor.com/class")
    devices = {}
    for entry in _mappings(document.get("devices"), "devices"):
        name = str(entry.get("name", ""))
        if not is_device(name) or name in devices:
            raise InvalidInput(f"{name!r} is no name of a device, or there twice")
        devices[name] = _edits(entry.get("containerEdits"))
    return _Spec(path, str(document["kind"]), devices, _edits(document.get("containerEdits")))


def _edits(value: Any) -> Edits:
    if value is None:
        return Edits()
    if not isinstance(value, dict):
        raise InvalidInput("containerEdits is no mapping")
    if unknown := sorted(value.keys() - _EDITS):
        raise InvalidInput(f"containerEdits.{unknown[0]} is not supported")
    hooks = _mappings(value.get("hooks"), "hooks")
    if odd := next((hook for hook in hooks if hook.get("hookName") not in _HOOKS or not hook.get("path")), None):
        raise InvalidInput(f"{odd!r} is no hook")
    nodes, mounts = _mappings(value.get("deviceNodes"), "deviceNodes"), _mappings(value.get("mounts"), "mounts")
    if not all(node.get("path") for node in nodes):
        raise InvalidInput("a device node needs a path")
    if not all(mount.get("hostPath") and mount.get("containerPath") for mount in mounts):
        raise InvalidInput("a mount needs hostPath and containerPath")
    env, groups = value.get("env") or [], value.get("additionalGids") or []
    if not all(isinstance(text, str) and "=" in text for text in env) or not all(isinstance(g, int) for g in groups):
        raise InvalidInput("env is a list of NAME=VALUE, additionalGids one of numbers")
    return Edits(tuple(env), nodes, mounts, hooks, tuple(groups))


def _mappings(value: Any, what: str) -> tuple[Mapping[str, Any], ...]:
    if value is not None and not (isinstance(value, list) and all(isinstance(entry, dict) for entry in value)):
        raise InvalidInput(f"{what} is no list of mappings")
    return tuple(value or ())
