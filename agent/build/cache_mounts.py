"""Directories of `RUN --mount=type=cache`: they outlive builds, one or more for each id. Shared by agent and program.

<digest of the id>[-<number>]/data   what commands see
<digest of the id>[-<number>]/lock   held (flock(2)) by who uses it: shared, or alone
<digest of the id>[-<number>]/id     the id, as text
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.build.locked_directories import hold, open_existing_lock, remove_unused, try_lock
from agent.safe_paths.disk_usage import path_disk_usage
from shoal.errors import Unavailable
from shoal.tree_removal import delete_trees

SHARED, PRIVATE, LOCKED = "shared", "private", "locked"
MAX_COPIES = 64
"""Of a private one, that are used at the same time."""
_WAIT_SECONDS = 0.05


@dataclass(frozen=True)
class CacheDirectory:
    """One of them on the disk.

    Attributes:
        name: of its directory. used_at_ms: when it was last used.
    """

    name: str
    cache_id: str
    size: int
    created_at_ms: int
    used_at_ms: int
    in_use: bool


@contextmanager
def opened_cache(
    root: Path, cache_id: str, sharing: str, populate: Callable[[Path], None], stopped: Callable[[], bool]
) -> Iterator[Path]:
    """A directory for one command. Blocking: a locked one waits for whoever has it.

    Args:
        populate: called with the empty directory when it is made.
        stopped: whether to wait no more.
    Raises:
        Unavailable: it was stopped while it waited, or too many have a private one. OSError: the disk fails.
    """
    digest = hashlib.sha256(cache_id.encode("utf-8", "surrogateescape")).hexdigest()
    if sharing == PRIVATE:
        place, lock = _private(root, digest)
    else:
        place, lock = root / digest, -1
        lock = _lock(place, fcntl.LOCK_EX if sharing == LOCKED else fcntl.LOCK_SH, stopped)
    try:
        _make(place, cache_id, populate)
        yield place / "data"
    finally:
        os.utime(lock)
        os.close(lock)


def _private(root: Path, digest: str) -> tuple[Path, int]:
    """The first that nobody uses."""
    for number in range(MAX_COPIES):
        place = root / (f"{digest}-{number}" if number else digest)
        if (lock := hold(place)) is not None:
            return place, lock
    raise Unavailable(f"{MAX_COPIES} commands use the same private cache directory")


def _lock(place: Path, kind: int, stopped: Callable[[], bool]) -> int:
    while (lock := hold(place, kind)) is None:
        if stopped():
            raise Unavailable("the build was stopped")
        time.sleep(_WAIT_SECONDS)
    return lock


def _make(place: Path, cache_id: str, populate: Callable[[Path], None]) -> None:
    if (place / "data").is_dir():
        return
    draft = place / f"draft-{os.urandom(8).hex()}"
    draft.mkdir(mode=0o755)
    populate(draft)
    (place / "id").write_text(cache_id, errors="surrogateescape")
    try:
        draft.rename(place / "data")
    except OSError:  # another command was faster
        delete_trees(draft)


def list_caches(root: Path) -> list[CacheDirectory]:
    """All of them, with what they take on the disk. Blocking."""
    if not root.is_dir():
        return []
    return [found for place in sorted(root.iterdir()) if (found := _described(place)) is not None]


def _described(place: Path) -> CacheDirectory | None:
    descriptor = open_existing_lock(place)
    if descriptor is None:
        return None
    try:
        status = os.fstat(descriptor)
        size = path_disk_usage(place)
        return CacheDirectory(
            place.name,
            (place / "id").read_text(errors="surrogateescape"),
            size,
            place.joinpath("id").stat().st_mtime_ns // 1_000_000,
            status.st_mtime_ns // 1_000_000,
            not try_lock(descriptor),
        )
    except OSError:
        return None
    finally:
        os.close(descriptor)


def remove_cache(root: Path, name: str) -> bool:
    """Delete one that nobody uses; whether it did. Blocking. Raises Unavailable."""
    return remove_unused(root / name)
