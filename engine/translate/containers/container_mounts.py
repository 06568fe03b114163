"""Mounts: `Binds`, `Mounts`, `Tmpfs` and `Volumes` of a creation request, and a spec's. Pure."""

import re
from collections.abc import Iterable
from typing import Any

from engine.translate.fields import Fields
from shoal.api.v1.container_pb2 import Mount
from shoal.errors import InvalidInput
from shoal.spec_parsers.mount_parser import PRIVATE_MODES, SLAVE_MODES, parse_tmpfs

_MODES = frozenset({"rw", "ro", "nocopy", "z", "Z", "consistent", "cached", "delegated"})
_SHARED_MODES = ("shared", "rshared")
_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_ANONYMOUS_NAME = re.compile(r"[0-9a-f]{62}(?:[0-9a-f]{2})?")
_TYPES = {"bind": Mount.BIND, "volume": Mount.VOLUME, "tmpfs": Mount.TMPFS}
_TYPE_NAMES = {number: name for name, number in _TYPES.items()}
_ENGINE_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")


def read_mounts(config: Fields, host: Fields) -> list[Mount]:
    """All mounts of a request; of two with one target the later kind of notation has lost, as with Docker.

    Raises:
        ApiError: 400, one is not valid, or two notations have the same target.
    """
    driver = host.text("VolumeDriver")
    found = [_bind(host, text, driver) for text in host.texts("Binds")]
    found += [_mount(entry) for entry in host.nested_list("Mounts")]
    found += [_tmpfs(host, target, options) for target, options in host.text_map("Tmpfs").items()]
    targets: set[str] = set()
    for mount in found:
        if mount.target in targets:
            raise host.invalid("Mounts", f"Duplicate mount point: {mount.target}")
        targets.add(mount.target)
    for target, _ in config.items("Volumes"):
        clean = _target(config, "Volumes", target)
        if clean not in targets:
            targets.add(clean)
            found.append(_anonymous(clean, driver))
    return found


def mount_documents(mounts: Iterable[Mount]) -> dict[str, Any]:
    """The keys `Binds`, `Mounts` and `Tmpfs` of `HostConfig` and `Volumes` of `Config`, of a spec.

    Every mount has one of the notations: those of volumes without options and of bind mounts that make their source are
    `Binds`.
    """
    binds, entries = [], []
    tmpfs: dict[str, str] = {}
    volumes: dict[str, dict[str, str]] = {}
    for mount in mounts:
        if mount.type == Mount.TMPFS:
            tmpfs[mount.target] = _tmpfs_options(mount)
        elif is_anonymous(mount):
            volumes[mount.target] = {}
        elif _fits_bind(mount):
            binds.append(_bind_text(mount))
        else:
            entries.append(_mount_document(mount))
    return {"Binds": binds or None, "Mounts": entries, "Tmpfs": tmpfs, "Volumes": volumes or None}


def read_mount_entries(body: Fields) -> list[Mount]:
    """`Mounts` alone, as services have them.

    Raises:
        ApiError: 400, one is not valid.
    """
    return [_mount(entry) for entry in body.nested_list("Mounts")]


def mount_entries(mounts: Iterable[Mount]) -> list[dict[str, Any]]:
    """`Mounts` of a spec, every mount as an entry."""
    return [_mount_document(mount) for mount in mounts]


def has_host_paths(mounts: Iterable[Mount]) -> bool:
    """Whether one is of a path of a host, so that it matters which."""
    return any(mount.type == Mount.BIND for mount in mounts)


def _bind(host: Fields, text: str, driver: str) -> Mount:
    """`[SOURCE:]TARGET[:MODES]`."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise host.invalid("Binds", f'invalid volume specification: "{text}"')
    if len(parts) == 1:
        return _anonymous(_target(host, "Binds", parts[0]), driver)
    source, target, modes = parts[0], _target(host, "Binds", parts[1]), parts[2].split(",") if len(parts) > 2 else []
    for mode in modes:
        if mode in _SHARED_MODES:
            raise host.invalid("Binds", f"{mode} is not supported: mounts do not propagate out of a container")
        if mode not in (*_MODES, *PRIVATE_MODES, *SLAVE_MODES):
            raise host.invalid("Binds", f"invalid mode: {parts[2]}")
    mount = Mount(target=target, source=source, read_only="ro" in modes)
    if source.startswith("/"):
        mount.type, mount.create_source = Mount.BIND, source not in _ENGINE_SOCKETS
        mount.propagation = next((mode for mode in modes if mode in SLAVE_MODES), "")
        return mount
    if _VOLUME_NAME.fullmatch(source) is None:
        raise host.invalid(
            "Binds",
            f'create {source}: "{source}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
        )
    mount.type = Mount.VOLUME
    mount.volume.no_copy, mount.volume.driver = "nocopy" in modes, driver
    return mount


def _mount(entry: Fields) -> Mount:
    """One of `Mounts`."""
    kind = entry.text("Type")
    if kind not in _TYPES:
        raise entry.invalid("Type", f"mount type {kind!r} is not supported; use one of {', '.join(_TYPES)}")
    mount = Mount(
        type=_TYPES[kind],
        source=entry.text("Source"),
        target=_target(entry, "Target", entry.text("Target")),
        read_only=entry.boolean("ReadOnly"),
    )
    if kind == "bind":
        _read_bind_options(entry, mount)
    elif kind == "volume":
        _read_volume_options(entry.nested("VolumeOptions"), mount)
    else:
        if mount.source:
            raise entry.invalid("Source", "must not be specified for mounts of type tmpfs")
        _read_tmpfs_options(entry.nested("TmpfsOptions"), mount)
    return mount


def _read_bind_options(entry: Fields, mount: Mount) -> None:
    if not mount.source.startswith("/"):
        raise entry.invalid("Source", f"invalid mount path: '{mount.source}' mount path must be absolute")
    options = entry.nested("BindOptions")
    propagation = options.text("Propagation")
    if propagation not in ("", *PRIVATE_MODES, *SLAVE_MODES):
        raise options.invalid(
            "Propagation", f"{propagation!r} is not supported: mounts do not propagate out of a container"
        )
    mount.propagation = propagation if propagation in SLAVE_MODES else ""
    mount.create_source = options.boolean("CreateMountpoint")
    if options.boolean("NonRecursive"):
        mount.recursive = "disabled"
    elif options.boolean("ReadOnlyNonRecursive"):
        mount.recursive = "writable"
    elif options.boolean("ReadOnlyForceRecursive"):
        mount.recursive = "readonly"


def _read_volume_options(options: Fields, mount: Mount) -> None:
    driver = options.nested("DriverConfig")
    mount.volume.SetInParent()
    mount.volume.no_copy = options.boolean("NoCopy")
    mount.volume.subpath = options.text("Subpath")
    mount.volume.driver = driver.text("Name")
    mount.volume.options.update(driver.text_map("Options"))
    mount.volume.labels.update(options.text_map("Labels"))


def _read_tmpfs_options(options: Fields, mount: Mount) -> None:
    mount.tmpfs_bytes, mount.tmpfs_mode = options.number("SizeBytes"), options.number("Mode")
    for words in options.value("Options") or []:
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise options.wrong_type("Options", words, "[]string")
        mount.tmpfs_options.append("=".join(words))


def _tmpfs(host: Fields, target: str, options: str) -> Mount:
    try:
        mount = parse_tmpfs(f"{_target(host, 'Tmpfs', target)}:{options}")
    except InvalidInput as error:
        raise host.invalid("Tmpfs", str(error)) from None
    return mount


def _tmpfs_options(mount: Mount) -> str:
    options = [f"size={mount.tmpfs_bytes}"] if mount.tmpfs_bytes else []
    options += [f"mode={mount.tmpfs_mode:o}"] if mount.tmpfs_mode else []
    options += ["ro"] if mount.read_only else []
    return ",".join([*options, *mount.tmpfs_options])


def _anonymous(target: str, driver: str) -> Mount:
    mount = Mount(type=Mount.VOLUME, target=target)
    mount.volume.driver = driver
    return mount


def is_anonymous(mount: Mount) -> bool:
    """Whether it is of a volume without a name of its own, before it was made or after."""
    return mount.type == Mount.VOLUME and (not mount.source or _ANONYMOUS_NAME.fullmatch(mount.volume.name) is not None)


def _fits_bind(mount: Mount) -> bool:
    if mount.type == Mount.BIND:
        return mount.create_source and not mount.recursive and ":" not in mount.source
    use = mount.volume
    return not (use.options or use.labels or use.subpath or use.driver or use.failover_after_ms)


def _bind_text(mount: Mount) -> str:
    modes = ["ro"] if mount.read_only else []
    modes += [mount.propagation] if mount.propagation else []
    modes += ["nocopy"] if mount.volume.no_copy else []
    source = mount.volume.name or mount.source if mount.type == Mount.VOLUME else mount.source
    return ":".join([source, mount.target, *([",".join(modes)] if modes else [])])


def _mount_document(mount: Mount) -> dict[str, Any]:
    source = mount.volume.name or mount.source if mount.type == Mount.VOLUME else mount.source
    document: dict[str, Any] = {"Type": _TYPE_NAMES.get(mount.type, "volume")}
    document |= {"Source": source} if source else {}
    document["Target"] = mount.target
    document |= {"ReadOnly": True} if mount.read_only else {}
    if mount.type == Mount.BIND:
        options = _bind_options(mount)
        return document | ({"BindOptions": options} if options else {})
    if mount.type == Mount.TMPFS:
        options = _tmpfs_entry_options(mount)
        return document | ({"TmpfsOptions": options} if options else {})
    options = _volume_options(mount)
    return document | ({"VolumeOptions": options} if options else {})


def _bind_options(mount: Mount) -> dict[str, Any]:
    options: dict[str, Any] = {"Propagation": mount.propagation} if mount.propagation else {}
    options |= {"CreateMountpoint": True} if mount.create_source else {}
    recursive = {
        "disabled": "NonRecursive",
        "writable": "ReadOnlyNonRecursive",
        "readonly": "ReadOnlyForceRecursive",
    }.get(mount.recursive)
    return options | ({recursive: True} if recursive else {})


def _tmpfs_entry_options(mount: Mount) -> dict[str, Any]:
    options: dict[str, Any] = {"SizeBytes": mount.tmpfs_bytes} if mount.tmpfs_bytes else {}
    options |= {"Mode": mount.tmpfs_mode} if mount.tmpfs_mode else {}
    return options | ({"Options": [each.split("=") for each in mount.tmpfs_options]} if mount.tmpfs_options else {})


def _volume_options(mount: Mount) -> dict[str, Any]:
    use = mount.volume
    options: dict[str, Any] = {"NoCopy": True} if use.no_copy else {}
    options |= {"Labels": dict(use.labels)} if use.labels else {}
    if use.driver or use.options:
        driver: dict[str, Any] = {"Name": use.driver} if use.driver else {}
        options["DriverConfig"] = driver | ({"Options": dict(use.options)} if use.options else {})
    return options | ({"Subpath": use.subpath} if use.subpath else {})


def _target(fields: Fields, key: str, target: str) -> str:
    if not target.startswith("/"):
        raise fields.invalid(key, f"invalid mount path: '{target}' mount path must be absolute")
    clean = re.sub(r"/+", "/", target).rstrip("/")
    if not clean or ".." in clean.split("/"):
        raise fields.invalid(key, f"invalid mount target: '{target}': destination can't be '/' or contain '..'")
    return clean
