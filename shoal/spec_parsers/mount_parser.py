"""Parse mounts in Docker's notations: of `--mount`, `--tmpfs` and Compose files."""

from collections.abc import Mapping

from shoal.api.v1.container_pb2 import Mount
from shoal.errors import InvalidInput
from shoal.spec_parsers.units import parse_bytes, parse_duration_ms
from shoal.tmpfs_options import KNOWN, is_option

TYPES = {"bind": Mount.BIND, "tmpfs": Mount.TMPFS, "volume": Mount.VOLUME}
_KEYS = {
    "type": "type",
    "source": "source",
    "src": "source",
    "target": "target",
    "destination": "target",
    "dst": "target",
    "readonly": "read_only",
    "ro": "read_only",
    "read_only": "read_only",
    "tmpfs-size": "tmpfs_bytes",
    "tmpfs-mode": "tmpfs_mode",
    "bind-propagation": "propagation",
    "bind-create-src": "create_source",
    "bind-recursive": "recursive",
    "volume-driver": "driver",
    "volume-subpath": "subpath",
    "volume-nocopy": "no_copy",
    "per-slot": "per_slot",
    "failover-after": "failover_after",
    "shared": "shared",
}
PRIVATE_MODES = ("private", "rprivate")
SLAVE_MODES = ("slave", "rslave")
"""What the node mounts later is seen in the container, and never the other way round."""
RECURSIVE_MODES = ("enabled", "disabled", "writable", "readonly")
"""What a container has of mounts below the source: all, read-only where the mount is; none; all as they are; all, and
read-only or not at all."""
_OPTION, _LABEL = "volume-opt", "volume-label"
VOLUME_OPTIONS = ("driver", "subpath", "no_copy", "per_slot")
PERSISTENT_OPTIONS = ("failover_after", "shared")
"""Options for data that outlives its container: volumes and bind mounts."""


def parse_mount(text: str) -> Mount:
    """A mount in "type=volume,source=data,target=/data" or "type=bind,source=/srv,target=/data,readonly".

    Raises:
        InvalidInput: an unknown key or type, or no target.
    """
    fields: dict[str, str] = {}
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    for part in text.split(","):
        key, sign, value = part.partition("=")
        if key == _OPTION:
            name, equals, setting = value.partition("=")
            if not equals:
                raise InvalidInput(f"mount {text!r}: {part!r} must be in the form {_OPTION}=NAME=VALUE")
            options[name] = setting
        elif key == _LABEL:
            name, _, setting = value.partition("=")
            labels[name] = setting
        elif key in _KEYS:
            fields[_KEYS[key]] = value if sign else "true"
        else:
            raise InvalidInput(
                f"mount {text!r}: unknown key {key!r}; allowed keys are {', '.join(sorted({*_KEYS, _OPTION, _LABEL}))}"
            )
    return from_fields(fields, text, options, labels)


def parse_tmpfs(text: str) -> Mount:
    """A mount in "/run" or "/run:size=64m,mode=1770,uid=1000,exec", as `docker run --tmpfs` and Compose have it.

    Raises:
        InvalidInput: an option that there is not.
    """
    target, _, options = text.partition(":")
    mount = Mount(type=Mount.TMPFS, target=target)
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key == "size":
            mount.tmpfs_bytes = parse_bytes(value)
        elif key == "mode":
            mount.tmpfs_mode = _octal(value, text)
        elif option in ("ro", "rw"):
            mount.read_only = option == "ro"
        elif is_option(option):
            mount.tmpfs_options.append(option)
        else:
            known = ", ".join(("size=BYTES", "mode=OCTAL", "ro", "rw", *KNOWN))
            raise InvalidInput(f"tmpfs {text!r}: {option!r} must be one of {known}")
    return mount


def from_fields(
    fields: Mapping[str, str],
    text: str,
    options: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Mount:
    """A mount of fields as text; without a type it is one of a volume.

    Args:
        options: of the volume's driver.
        labels: of the volume, where it is made with the service.
    """
    kind = fields.get("type", "volume")
    if kind not in TYPES:
        raise InvalidInput(f"mount {text!r}: type {kind!r} is not supported; use one of {', '.join(TYPES)}")
    if not fields.get("target"):
        raise InvalidInput(f"mount {text!r}: target is missing")
    propagation = fields.get("propagation", "rprivate")
    if propagation not in (*PRIVATE_MODES, *SLAVE_MODES):
        raise InvalidInput(
            f"mount {text!r}: propagation {propagation!r} is not supported: mounts do not propagate out of a "
            f"container; use one of {', '.join((*PRIVATE_MODES, *SLAVE_MODES))}"
        )
    recursive = fields.get("recursive", RECURSIVE_MODES[0])
    if recursive not in RECURSIVE_MODES:
        raise InvalidInput(f"mount {text!r}: bind-recursive {recursive!r} must be one of {', '.join(RECURSIVE_MODES)}")
    mount = Mount(
        type=TYPES[kind],
        source=fields.get("source", ""),
        target=fields["target"],
        read_only=_flag(fields, "read_only"),
        create_source=_flag(fields, "create_source"),
        propagation=propagation if propagation in SLAVE_MODES else "",
        recursive="" if recursive == RECURSIVE_MODES[0] else recursive,
        tmpfs_bytes=parse_bytes(fields["tmpfs_bytes"]) if "tmpfs_bytes" in fields else 0,
        tmpfs_mode=_octal(fields.get("tmpfs_mode", "0"), text),
    )
    if kind == "tmpfs" and any(name in fields for name in PERSISTENT_OPTIONS):
        names = " and ".join(name.replace("_", "-") for name in PERSISTENT_OPTIONS)
        raise InvalidInput(f"mount {text!r}: {names} can only be used with volumes and bind mounts")
    mount.shared = _flag(fields, "shared")
    if kind == "volume":
        mount.volume.SetInParent()
    if "failover_after" in fields:
        mount.volume.failover_after_ms = parse_duration_ms(fields["failover_after"])
    if kind == "volume":
        _volume(mount, fields, options or {})
        mount.volume.labels.update(labels or {})
    elif options or labels or any(name in fields for name in VOLUME_OPTIONS):
        raise InvalidInput(f"mount {text!r}: volume options cannot be used with type {kind}")
    return mount


def _volume(mount: Mount, fields: Mapping[str, str], options: Mapping[str, str]) -> None:
    use = mount.volume
    use.options.update(options)
    use.driver = fields.get("driver", "")
    use.subpath, use.no_copy, use.per_slot = (
        fields.get("subpath", ""),
        _flag(fields, "no_copy"),
        _flag(fields, "per_slot"),
    )


def _flag(fields: Mapping[str, str], name: str) -> bool:
    return fields.get(name, "false").lower() in ("true", "1")


def _octal(text: str, whole: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise InvalidInput(f"mount {whole!r}: tmpfs-mode {text!r} must be an octal number") from None
