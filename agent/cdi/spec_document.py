"""Parses and validates one CDI spec. Pure.

Source: SPEC.md of cncf-tags/container-device-interface, versions 0.3.0 to 1.0.0.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.cdi_names import is_device, is_kind
from shoal.errors import InvalidInput

_HOOKS = frozenset({"prestart", "createRuntime", "createContainer", "startContainer", "poststart"})
_EDITS = frozenset({"env", "deviceNodes", "mounts", "hooks", "additionalGids"})
_LARGEST_ID = 2**32 - 2
_MAX_SHOWN = 60


@dataclass(frozen=True)
class Edits:
    """Changes to a container: the fields of CDI's `containerEdits`, as in the spec."""

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
class CdiSpec:
    """One spec file. `common` applies to every container with any of its devices."""

    path: Path
    kind: str
    devices: Mapping[str, Edits]
    common: Edits = field(default_factory=Edits)


def parse(path: Path, document: Any) -> CdiSpec:
    """Parse one spec.

    Raises:
        InvalidInput: it is invalid, or requests something that is not supported.
    """
    if not isinstance(document, dict) or not is_kind(_text(document.get("kind"))):
        raise InvalidInput("kind must be in the form vendor.com/class")
    devices = {}
    for entry in _mappings(document.get("devices"), "devices"):
        name = _text(entry.get("name"))
        if not is_device(name) or name in devices:
            raise InvalidInput(f"{_shown(name)} is not a valid device name, or is defined twice")
        devices[name] = _edits(entry.get("containerEdits"))
    return CdiSpec(path, document["kind"], devices, _edits(document.get("containerEdits")))


def _edits(value: Any) -> Edits:
    if value is None:
        return Edits()
    if not isinstance(value, dict):
        raise InvalidInput("containerEdits must be a mapping")
    if unknown := next((key for key in value if key not in _EDITS), None):
        raise InvalidInput(f"containerEdits.{_text(unknown)[:_MAX_SHOWN]} is not supported")
    if any(hook.get("hookName") == "poststop" for hook in _mappings(value.get("hooks"), "hooks")):
        # Containers are removed without the OCI runtime, so nothing would run them.
        raise InvalidInput("poststop hooks are not supported")
    return Edits(
        tuple(_listed(value.get("env"), "env must be a list of NAME=VALUE", _is_variable)),
        tuple(_entries(value, "deviceNodes", _NODE, "a device node must have a path")),
        tuple(_entries(value, "mounts", _MOUNT, "a mount must have hostPath and containerPath")),
        tuple(_entries(value, "hooks", _HOOK, "a hook must have hookName and path")),
        tuple(_listed(value.get("additionalGids"), "additionalGids must be a list of numbers", _is_id)),
    )


def _entries(edits: Mapping[str, Any], name: str, fields: "_Fields", message: str) -> Iterator[Mapping[str, Any]]:
    for entry in _mappings(edits.get(name), name):
        if any(needed and not entry.get(key) for key, (needed, _) in fields.items()):
            raise InvalidInput(message)
        for key, (_, fits) in fields.items():
            if entry.get(key) is not None and not fits(entry[key]):
                raise InvalidInput(f"{name}: invalid {key} {_shown(entry[key])}")
        yield entry


def _mappings(value: Any, what: str) -> list[Mapping[str, Any]]:
    return list(_listed(value, f"{what} must be a list of mappings", lambda entry: isinstance(entry, dict)))


def _listed(value: Any, message: str, fits: Callable[[Any], bool]) -> list[Any]:
    if value is not None and not (isinstance(value, list) and all(map(fits, value))):
        raise InvalidInput(message)
    return value or []


def _text(value: Any) -> str:
    """A name as text: unquoted device names may be numbers in YAML."""
    return str(value) if isinstance(value, str | int) else ""


def _shown(value: Any) -> str:
    """A value for an error message; of nested values only the type."""
    return repr(value)[:_MAX_SHOWN] if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_path(value: Any) -> bool:
    return _is_text(value) and value.startswith("/")


def _is_variable(value: Any) -> bool:
    return _is_text(value) and "=" in value[1:]


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_id(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= _LARGEST_ID


def _is_mode(value: Any) -> bool:
    """A file mode, with or without file type bits."""
    return _is_number(value) and 0 <= value <= 0o177777


def _is_device_number(value: Any) -> bool:
    return _is_number(value) and -1 <= value < 2**32


def _is_access(value: Any) -> bool:
    return _is_text(value) and set(value) <= set("rwm")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_hook_name(value: Any) -> bool:
    return _is_text(value) and value in _HOOKS


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and 0 < value < 2**31


def _is_device_type(value: Any) -> bool:
    return _is_text(value) and value in ("b", "c", "u", "p")


_Fields = Mapping[str, tuple[bool, Callable[[Any], bool]]]
"""Whether a field is required, and the check of its value."""

_NODE: _Fields = {
    "path": (True, _is_path),
    "hostPath": (False, _is_path),
    "type": (False, _is_device_type),
    "major": (False, _is_device_number),
    "minor": (False, _is_device_number),
    "fileMode": (False, _is_mode),
    "permissions": (False, _is_access),
    "uid": (False, _is_id),
    "gid": (False, _is_id),
}
_MOUNT: _Fields = {
    "hostPath": (True, _is_text),
    "containerPath": (True, _is_path),
    "options": (False, _are_texts),
    "type": (False, _is_text),
}
_HOOK: _Fields = {
    "hookName": (True, _is_hook_name),
    "path": (True, _is_path),
    "args": (False, _are_texts),
    "env": (False, _are_texts),
    "timeout": (False, _is_seconds),
}
