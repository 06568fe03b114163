"""Names in a layer's tar: made safe, symbolic links followed inside the layer only, whiteouts told apart. Pure.

OCI image-spec, layer.md, "Whiteouts".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shoal.errors import InvalidInput

Parts = tuple[str, ...]
"""A path inside the layer: its components from the layer's root, none of them empty, `.` or `..`."""

Links = Mapping[Parts, str]
"""Targets of the symbolic links that the layer has so far, by where they are."""

OPAQUE = ".wh..wh..opq"
_WHITEOUT = ".wh."
_RESERVED = ".wh..wh."
_MAX_LINKS = 40
_MAX_COMPONENT_BYTES = 255
_MAX_COMPONENTS = 2048


@dataclass(frozen=True)
class Plain:
    """An entry that is what it says."""


@dataclass(frozen=True)
class Opaque:
    """Hides everything that lower layers have in its directory."""


@dataclass(frozen=True)
class Whiteout:
    """Hides one name of the lower layers."""

    name: str


@dataclass(frozen=True)
class Bookkeeping:
    """Left by other storage drivers; means nothing to a layer."""


def parts_of(name: str) -> Parts:
    """An entry's name as a path inside the layer; empty for the root itself.

    Raises:
        InvalidInput: it climbs with `..`, or no file system could hold it.
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise InvalidInput(f"layer entry {_shown(name)} climbs out with '..'")
    too_long = any(len(part.encode(errors="surrogateescape")) > _MAX_COMPONENT_BYTES for part in parts)
    if "\0" in name or too_long or len(parts) > _MAX_COMPONENTS:
        raise InvalidInput(f"layer entry {_shown(name)} has a name that no file system takes")
    return parts


def resolve(path: Parts, links: Links) -> Parts:
    """Where a path leads when every symbolic link on it is followed as if the layer's root were `/`.

    The result has no link of `links` on it; `..` in a link's target stops at the root, as chroot(2) does.

    Raises:
        InvalidInput: more links than the kernel would follow.
    """
    resolved: list[str] = []
    waiting, followed = list(reversed(path)), 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            del resolved[-1:]
            continue
        target = links.get((*resolved, part))
        if target is None:
            resolved.append(part)
            continue
        followed += 1
        if followed > _MAX_LINKS:
            raise InvalidInput(f"layer entry {_shown('/'.join(path))} passes through a loop of symbolic links")
        if target.startswith("/"):
            resolved.clear()
        waiting.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
    return tuple(resolved)


def kind_of(name: str) -> Plain | Opaque | Whiteout | Bookkeeping:
    """What the last component of an entry's name makes of it.

    Raises:
        InvalidInput: a whiteout of nothing, of `.` or of `..`.
    """
    if not name.startswith(_WHITEOUT):
        return Plain()
    if name == OPAQUE:
        return Opaque()
    if name.startswith(_RESERVED):
        return Bookkeeping()
    hidden = name.removeprefix(_WHITEOUT)
    if hidden in ("", ".", ".."):
        raise InvalidInput(f"layer entry {_shown(name)} is a whiteout of nothing")
    return Whiteout(hidden)


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else name[:80] + "…")
