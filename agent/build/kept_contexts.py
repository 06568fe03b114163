"""Contexts of earlier builds, so that a later one need not send what it has not changed. Shared by agent and program.

<digest of the key>/tree    the files; a build that uses them writes nothing there once it has begun
<digest of the key>/index   KeptContext; gone while `tree` is changed, so that what was interrupted is not believed
<digest of the key>/about   JSON: name and size
<digest of the key>/lock    held (flock(2)) by the build that uses it
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from agent.build.locked_directories import hold, open_existing_lock, remove_unused, try_lock
from agent.disk_full import usable_blocks
from shoal.api.v1.builds_pb2 import ContextEntry, KeptContext
from shoal.errors import Unavailable
from shoal.tree_removal import delete_trees

MAX_CONTEXTS = 32
MAX_BYTES = 16 << 30
MAX_IDLE_SECONDS = 7 * 24 * 3600
_FREE_PART = 10
"""Contexts go when less than one of so many parts of their disk is free."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class KeptFile(NamedTuple):
    """One entry of a kept context, and its inode number."""

    entry: ContextEntry
    inode: int


@dataclass(frozen=True)
class ContextRow:
    """One context on the disk. Attributes: id: of its directory. name: of a named context, else empty."""

    id: str
    name: str
    size: int
    used_at_ms: int
    in_use: bool


class KeptTree:
    """A context that a build uses, alone. `close` it when nothing reads it any more. Blocking."""

    def __init__(self, place: Path, lock: int) -> None:
        self._place = place
        self._lock = lock
        self.tree = place / "tree"

    @classmethod
    def acquire(cls, root: Path, key: str) -> "KeptTree | None":
        """The context of a key, which may be empty; None: another build has it. Raises OSError."""
        place = root / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        if (lock := hold(place)) is None:
            return None
        os.utime(lock)
        return cls(place, lock)

    def read(self) -> Mapping[bytes, KeptFile]:
        """What is in the tree, by path, each directory before what is in it; what is not sure is deleted.

        Raises:
            OSError, Unavailable: the disk fails.
        """
        try:
            kept = KeptContext.FromString((self._place / "index").read_bytes())
        except (FileNotFoundError, DecodeError):
            kept = KeptContext()
        if kept.boot_id == _boot_id() and self.tree.is_dir() and len(kept.entries) == len(kept.inodes):
            pairs = zip(kept.entries, kept.inodes, strict=True)
            return {entry.path: KeptFile(entry, inode) for entry, inode in pairs}
        delete_trees(self.tree)
        self.tree.mkdir(mode=0o755)
        return {}

    def begin_change(self) -> None:
        """The tree is changed from now on, until `save`. Raises OSError."""
        (self._place / "index").unlink(missing_ok=True)

    def save(self, name: str, entries: Sequence[ContextEntry], inodes: Sequence[int]) -> None:
        """The tree is as these say. Raises OSError."""
        about = {"name": name, "size": sum(each.size for each in entries)}
        (self._place / "about").write_text(json.dumps(about))
        draft = self._place / "index.new"
        draft.write_bytes(KeptContext(boot_id=_boot_id(), entries=entries, inodes=inodes).SerializeToString())
        draft.replace(self._place / "index")

    def close(self) -> None:
        """Let other builds have it."""
        os.close(self._lock)


@cache
def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def list_contexts(root: Path) -> list[ContextRow]:
    """All that are kept, the one that was used last first. Blocking."""
    if not root.is_dir():
        return []
    found = [row for place in root.iterdir() if (row := _described(place)) is not None]
    return sorted(found, key=lambda each: each.used_at_ms, reverse=True)


def _described(place: Path) -> ContextRow | None:
    lock = open_existing_lock(place)
    if lock is None:
        return None
    try:
        about: dict[str, Any] = {"name": "", "size": 0}
        with suppress(OSError, ValueError):
            about |= json.loads((place / "about").read_text())
        used_at_ms = os.fstat(lock).st_mtime_ns // 1_000_000
        return ContextRow(place.name, str(about["name"]), int(about["size"]), used_at_ms, not try_lock(lock))
    finally:
        os.close(lock)


def remove_context(root: Path, context_id: str) -> bool:
    """Delete one that no build uses; whether it did. Blocking. Raises Unavailable."""
    return remove_unused(root / context_id)


def sweep_contexts(root: Path) -> None:
    """Delete what is beyond the bounds, what was used last stays. Blocking. Raises Unavailable."""
    rows = list_contexts(root)
    if not rows:
        return
    for each in beyond_bounds(rows, time.time_ns() // 1_000_000, is_disk_short=_is_disk_short(root)):
        remove_context(root, each.id)


def beyond_bounds(rows: Sequence[ContextRow], now_ms: int, *, is_disk_short: bool) -> list[ContextRow]:
    """What is too much. Pure.

    Args:
        rows: what was used last first.
    """
    found, size = [], 0
    for number, each in enumerate(rows):
        size += each.size
        is_old = now_ms - each.used_at_ms > MAX_IDLE_SECONDS * 1000
        if not each.in_use and (is_disk_short or is_old or number >= MAX_CONTEXTS or size > MAX_BYTES):
            found.append(each)
    return found


def _is_disk_short(root: Path) -> bool:
    try:
        disk = os.statvfs(root)
    except OSError as error:
        raise Unavailable(f"{root}: {error.strerror}") from error
    return disk.f_bavail * _FREE_PART < usable_blocks(disk)
