"""Directories that outlive builds, each with a file `lock` in it, held (flock(2)) by who uses it. Blocking."""

import fcntl
import os
from pathlib import Path

from shoal.tree_removal import delete_trees

_LOCK = "lock"


def open_lock(place: Path) -> int:
    """Make the directory, if it is not there, and open its lock, which is not held yet. Raises OSError."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(place / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def hold(place: Path, kind: int = fcntl.LOCK_EX) -> int | None:
    """Make the directory, if it is not there, and hold its lock; None where others hold it.

    Whoever deletes the directory before it is held makes this begin again.

    Args:
        kind: as of `try_lock`.
    Raises:
        OSError: the disk fails.
    """
    while True:
        try:
            lock = open_lock(place)
        except FileNotFoundError:  # deleted after it was made
            continue
        if not try_lock(lock, kind):
            os.close(lock)
            return None
        if is_lock_of(lock, place):
            return lock
        os.close(lock)


def open_existing_lock(place: Path) -> int | None:
    """As `open_lock`; None where there is no such directory, or no lock in it."""
    try:
        return os.open(place / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Hold a lock, unless that has to wait for others; whether it is held.

    Args:
        kind: LOCK_EX, alone, or LOCK_SH.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_lock_of(descriptor: int, place: Path) -> bool:
    """Whether the directory was not deleted between the lock's being opened and being held."""
    try:
        return os.path.samestat(os.fstat(descriptor), (place / _LOCK).stat())
    except FileNotFoundError:
        return False


def remove_unused(place: Path) -> bool:
    """Delete one that nobody uses; whether it did. Raises Unavailable."""
    lock = open_existing_lock(place)
    if lock is None:
        return False
    try:
        if not try_lock(lock):
            return False
        delete_trees(place)
    finally:
        os.close(lock)
    return True
