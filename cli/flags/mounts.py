"""`--mount`, `--tmpfs` and Compose's `volumes`: to mounts of the container schema."""

from collections.abc import Mapping

from cli.render.units import parse_bytes
from shoal.api.v1.container_pb2 import Mount
from shoal.errors import InvalidInput

TYPES = {"bind": Mount.BIND, "tmpfs": Mount.TMPFS}
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
}


def parse_mount(text: str) -> Mount:
    """A mount in "type=bind,source=/srv,target=/data,readonly" or "type=tmpfs,target=/run,tmpfs-size=16M".

    Raises:
        InvalidInput: an unknown key or type, or no target.
    """
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, sign, value = part.partition("=")
        if key not in _KEYS:
            raise InvalidInput(f"mount {text!r}: {key!r} is not one of {', '.join(sorted(set(_KEYS)))}")
        fields[_KEYS[key]] = value if sign else "true"
    return from_fields(fields, text)


def from_fields(fields: Mapping[str, str], text: str) -> Mount:
    """A mount of the fields of `Mount`, as text."""
    kind = fields.get("type", "")
    if kind not in TYPES:
        raise InvalidInput(f"mount {text!r}: type {kind!r} is not supported; use one of {', '.join(TYPES)}")
    if not fields.get("target"):
        raise InvalidInput(f"mount {text!r}: target is missing")
    mode = fields.get("tmpfs_mode", "0")
    try:
        mode_bits = int(mode, 8)
    except ValueError:
        raise InvalidInput(f"mount {text!r}: tmpfs-mode {mode!r} is not an octal number") from None
    return Mount(
        type=TYPES[kind],
        source=fields.get("source", ""),
        target=fields["target"],
        read_only=fields.get("read_only", "false").lower() in ("true", "1"),
        tmpfs_bytes=parse_bytes(fields["tmpfs_bytes"]) if "tmpfs_bytes" in fields else 0,
        tmpfs_mode=mode_bits,
    )
