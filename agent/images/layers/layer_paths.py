"""Validates names of layer entries and recognizes whiteouts. Pure.

OCI image-spec, layer.md, "Whiteouts".
"""

from shoal.errors import InvalidInput

Parts = tuple[str, ...]
"""A path inside the layer: its components from the layer's root, none of them empty, `.` or `..`."""

OPAQUE = ".wh..wh..opq"
_WHITEOUT = ".wh."
_RESERVED = ".wh..wh."
_MAX_COMPONENT_BYTES = 255
_MAX_PATH_BYTES = 4095  # PATH_MAX less the closing zero


class EntryKind:
    """Kind of an entry, by the last component of its name.

    Attributes:
        OPAQUE: hides everything that lower layers have in its directory.
        WHITEOUT: hides one name of the lower layers.
        AUFS_METADATA: left by other storage drivers; ignored.
    """

    REGULAR = "regular"
    OPAQUE = "opaque"
    WHITEOUT = "whiteout"
    AUFS_METADATA = "aufs-metadata"


def path_parts(name: str) -> Parts:
    """An entry's name as a path inside the layer; empty for the root.

    Raises:
        InvalidInput: it contains `..`, or is not a valid file name.
    """
    if "\0" in name or _bytes(name) > _MAX_PATH_BYTES:
        raise InvalidInput(f"layer entry {quoted(name)} has an invalid name")
    parts = tuple(components(name))
    if ".." in parts:
        raise InvalidInput(f"layer entry {quoted(name)} must not contain '..'")
    if any(_bytes(part) > _MAX_COMPONENT_BYTES for part in parts):
        raise InvalidInput(f"layer entry {quoted(name)} has an invalid name")
    return parts


def link_target(name: str, target: str) -> str:
    """The target of a symbolic link, unchanged: it is followed only inside the container.

    Raises:
        InvalidInput: no file system accepts it.
    """
    if not target or "\0" in target or _bytes(target) > _MAX_PATH_BYTES:
        raise InvalidInput(f"layer entry {quoted(name)} is a symbolic link with an invalid target")
    return target


def components(path: str) -> list[str]:
    """The components of a path, including `..`, without empty ones and `.`."""
    return [part for part in path.split("/") if part not in ("", ".")]


def kind_of(name: str) -> str:
    """The `EntryKind`, by the last component of an entry's name.

    Raises:
        InvalidInput: a whiteout of nothing, of `.` or of `..`.
    """
    if not name.startswith(_WHITEOUT):
        return EntryKind.REGULAR
    if name == OPAQUE:
        return EntryKind.OPAQUE
    if name.startswith(_RESERVED):
        return EntryKind.AUFS_METADATA
    if hidden_name(name) in ("", ".", ".."):
        raise InvalidInput(f"layer entry {quoted(name)} is a whiteout without a name")
    return EntryKind.WHITEOUT


def hidden_name(name: str) -> str:
    """The name that a whiteout hides."""
    return name.removeprefix(_WHITEOUT)


def quoted(name: str) -> str:
    """A name for an error message: short, without terminal escape sequences."""
    return ascii(name if len(name) <= 80 else name[:80] + "…")


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogateescape"))
