"""Convert `volumes`: of a service to mounts, of the file to volumes of the stack."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.volume_pb2 import ACCESS_MODE_UNSPECIFIED, VolumeSecret, VolumeSpec
from shoal.compose.merging.absolute_paths import absolute_path
from shoal.compose.reading.file_reader import FileReader
from shoal.compose.reading.scalar_values import octal_digits, scalar_text, string_mapping
from shoal.compose.reading.yaml_tree import YamlPath
from shoal.compose.stack_names import StackNames, is_external
from shoal.errors import InvalidInput
from shoal.spec_parsers.mount_parser import from_fields
from shoal.spec_parsers.short_mounts import RELABEL, parse_short_mount
from shoal.spec_parsers.units import parse_bytes
from shoal.spec_parsers.volume_parser import ACCESS_MODES

_LONG = {"type", "source", "target", "read_only", "tmpfs", "bind", "volume", "consistency"}
IGNORED_KEYS = (("bind", "selinux"),)
"""Settings of a mount, below their section, that have no effect; `consistency` and the modes z and Z too."""
_BIND = {"create_host_path": "create_source", "propagation": "propagation", "recursive": "recursive"}
_EXTENSION_KEYS = {"x-per-slot": "per_slot", "x-failover-after": "failover_after", "x-shared": "shared"}
"""Shoal's extensions."""


def stack_volume(names: StackNames, name: str, body: Mapping[str, Any], secrets: Mapping[str, Any]) -> VolumeSpec:
    """A volume that the stack brings.

    Args:
        secrets: the file's top-level ones.
    """
    mode = str(body.get("x-access-mode") or "")
    if mode and mode not in ACCESS_MODES:
        raise InvalidInput(f"x-access-mode {mode!r} must be one of {', '.join(ACCESS_MODES)}")
    return VolumeSpec(
        name=names.resource(name, body),
        driver=str(body.get("driver") or "local"),
        labels=string_mapping(body.get("labels") or {}),
        options=string_mapping(body.get("driver_opts") or {}),
        stack=names.stack,
        size_bytes=parse_bytes(scalar_text(body["x-size"])) if "x-size" in body else 0,
        access_mode=ACCESS_MODES[mode] if mode else ACCESS_MODE_UNSPECIFIED,
        secrets=_secrets(names, body.get("x-secrets"), secrets),
    )


def _secrets(names: StackNames, given: Any, known: Mapping[str, Any]) -> Iterator[VolumeSecret]:
    """`x-secrets`: the file's name of a secret by the driver's key for it."""
    if given is not None and not isinstance(given, Mapping):
        raise InvalidInput("x-secrets must be a mapping of the driver's keys to the file's secrets")
    for key, name in (given or {}).items():
        if str(name) not in known:
            raise InvalidInput(f"x-secrets: secret {str(name)!r} is not defined")
        yield VolumeSecret(key=str(key), source=names.resource(str(name), known[str(name)] or {}))


def add_mounts(
    container: ContainerSpec,
    entries: Any,
    *,
    names: StackNames,
    defined: Mapping[str, Any],
    directory: Path,
    files: FileReader,
    fault: Callable[[YamlPath, str], None],
) -> None:
    """`volumes` of a service, in the short and the long form.

    Args:
        defined: the file's top-level volumes.
        directory: that relative paths begin at.
        files: expands `~`.
    """
    for index, entry in enumerate(entries or []):
        try:
            mount = _from_long_syntax(entry) if isinstance(entry, dict) else parse_short_mount(str(entry))
            container.mounts.append(_with_names(mount, names, defined, directory, files))
        except InvalidInput as error:
            fault(("volumes", index), str(error))


def apply_mount_labels(volumes: Iterable[VolumeSpec], containers: Iterable[ContainerSpec]) -> None:
    """Give the stack's volumes the labels of their mounts; the volumes' own labels win."""
    made = {volume.name: volume for volume in volumes}
    for mount in (mount for container in containers for mount in container.mounts):
        if mount.type == Mount.VOLUME and mount.source in made:
            labels = made[mount.source].labels
            labels.update({name: text for name, text in mount.volume.labels.items() if name not in labels})
            mount.volume.labels.clear()


def ignored_setting(entry: Any) -> str:
    """The setting of a mount that has no effect here: contents are not labelled for SELinux. Empty if there is none."""
    if not isinstance(entry, dict):
        return next((mode for part in str(entry).split(":")[2:] for mode in part.split(",") if mode in RELABEL), "")
    if "consistency" in entry:
        return "consistency"
    sections = ((entry.get(section), key) for section, key in IGNORED_KEYS)
    return next((key for section, key in sections if isinstance(section, dict) and key in section), "")


def _with_names(mount: Mount, names: StackNames, known: Mapping[str, Any], directory: Path, files: FileReader) -> Mount:
    """Paths of the host made absolute, volumes under the names that the cluster has for them."""
    if mount.type == Mount.BIND:
        mount.source = absolute_path(files.expand(mount.source), directory)
    elif mount.type == Mount.VOLUME and mount.source:
        if mount.source not in known:
            raise InvalidInput(f"volume {mount.source!r} is not defined")
        body = known[mount.source] or {}
        mount.source, mount.volume.external = names.resource(mount.source, body), is_external(body)
        if mount.volume.labels and mount.volume.external:
            raise InvalidInput("volume.labels cannot be used with an external volume")
    return mount


def _from_long_syntax(entry: Mapping[str, Any]) -> Mount:
    if unknown := sorted(key for key in entry if key not in _LONG and not key.startswith("x-")):
        raise InvalidInput(f"{unknown[0]!r} is not supported")
    fields = {key: scalar_text(entry[key]) for key in ("type", "source", "target", "read_only") if key in entry}
    fields |= dict(_nested_fields(entry, "tmpfs", {"size": "tmpfs_bytes", "mode": "tmpfs_mode"}))
    if fields.get("type") == "bind":
        fields["create_source"] = "true"
    fields |= dict(_nested_fields(entry, "bind", _BIND))
    fields |= dict(_nested_fields(entry, "volume", {"nocopy": "no_copy", "subpath": "subpath"}))
    fields |= {name: scalar_text(entry[key]) for key, name in _EXTENSION_KEYS.items() if key in entry}
    return from_fields(fields, str(dict(entry)), labels=string_mapping((entry.get("volume") or {}).get("labels") or {}))


def _nested_fields(entry: Mapping[str, Any], section: str, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in (entry.get(section) or {}).items():
        if key.startswith("x-") or (section, key) in (*IGNORED_KEYS, ("volume", "labels")):
            continue
        if key not in names:
            raise InvalidInput(f"{section}.{key} is not supported")
        yield names[key], octal_digits(value) if names[key] == "tmpfs_mode" else scalar_text(value)
