"""The mount table of /proc/self/mountinfo (proc(5))."""

import re
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class MountEntry:
    """One mount.

    Attributes:
        point: mount point in this mount namespace.
        kind: type of the file system, "tmpfs".
        source: as given to mount(2), or "none".
        options: of the file system itself (not of the mount).
    """

    point: Path
    kind: str
    source: str
    options: tuple[str, ...]


def read_mountinfo(proc: Path = _PROC) -> str:
    """The mount table of this process; paths in it may contain any bytes."""
    return (proc / "self" / "mountinfo").read_text(errors="surrogateescape")


def parse_mountinfo(text: str) -> list[MountEntry]:
    """All mounts in their order: later ones at the same point hide earlier ones. Pure."""
    return [entry for line in text.split("\n") if (entry := _parse_line(line)) is not None]


def _parse_line(line: str) -> MountEntry | None:
    before, _, after = line.partition(" - ")
    fields, tail = before.split(" "), after.split(" ")
    if len(fields) < 5 or len(tail) < 2:
        return None
    options = tuple(tail[2].split(",")) if len(tail) > 2 else ()
    return MountEntry(Path(_unescape(fields[4])), tail[0], _unescape(tail[1]), options)


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
