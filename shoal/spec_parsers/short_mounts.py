"""Parse mounts in the short form of `docker run --volume` and Compose: `[SOURCE:]TARGET[:MODE,…]`."""

from shoal.api.v1.container_pb2 import Mount
from shoal.errors import InvalidInput
from shoal.spec_parsers.mount_parser import PRIVATE_MODES, SLAVE_MODES, from_fields

RELABEL = frozenset({"z", "Z"})
"""Modes that have no effect: contents are not labelled for SELinux."""
CONSISTENCY = frozenset({"consistent", "cached", "delegated"})
"""Modes that have no effect on Linux."""

_PROPAGATIONS = frozenset({*PRIVATE_MODES, *SLAVE_MODES, "shared", "rshared"})
_MODES = frozenset({"rw", "ro", "nocopy", *_PROPAGATIONS, *RELABEL})


def parse_short_mount(text: str, more_modes: frozenset[str] = frozenset()) -> Mount:
    """A mount in "data:/data", "/srv:/data:ro,rslave", or "/data" for a volume without a name.

    A source that begins with `/`, `.` or `~` is a path of a node, made a directory where there is nothing; it stays as
    it is written.

    Args:
        more_modes: modes that have no effect, beside `RELABEL`.
    Raises:
        InvalidInput: no target, or a mode that there is not.
    """
    source, target, *rest = text.split(":") if ":" in text else ("", text)
    modes = [mode for part in rest for mode in part.split(",")]
    if unknown := [mode for mode in modes if mode not in _MODES | more_modes]:
        raise InvalidInput(f"mode {unknown[0]!r} is not supported; use {', '.join(sorted(_MODES | more_modes))}")
    kind = "bind" if source.startswith(("/", ".", "~")) else "volume"
    fields = {"type": kind, "source": source, "target": target, "read_only": str("ro" in modes)}
    fields |= {"create_source": "true"} if kind == "bind" else {}
    fields |= [("propagation", mode) for mode in modes if mode in _PROPAGATIONS]
    return from_fields(fields | ({"no_copy": "true"} if "nocopy" in modes else {}), text)
