"""Files that only their owner may read, replaced whole or not at all."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from shoal.fault_points.injection import fault

_OWNER_ONLY_DIRECTORY = 0o700
_DRAFT = ".new"


def make_private_directory(directory: Path) -> None:
    """Make the directory with its parents; the last one is for the owner alone.

    One that is there stays as it is: it may be `/etc`, and the files in it have modes of their own.

    Raises:
        OSError: it cannot be made.
    """
    directory.mkdir(_OWNER_ONLY_DIRECTORY, parents=True, exist_ok=True)


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Readers see the old file or the new one, never a part, also after a loss of power. What writers that were killed
    have left of the file is removed.

    Raises:
        OSError: nothing is left of the new file.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}{_DRAFT}")
    _remove_abandoned(path)
    try:
        with os.fdopen(_open_locked(draft, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            fault("shared.private-file.draft-written")
            draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _open_locked(draft: Path, mode: int) -> int:
    """A descriptor of the empty draft, locked for as long as it is open: by that a living writer is told from a dead
    one."""
    while True:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, mode)
        try:
            with suppress(OSError):  # a file system without locks: nothing is removed there
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, draft):
                os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was renamed or removed before the lock was ours


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False


def _remove_abandoned(path: Path) -> None:
    for each in path.parent.iterdir():
        if each.name.startswith(f".{path.name}.") and each.name.endswith(_DRAFT):
            with suppress(OSError):  # its writer lives, or has just renamed it
                _remove_unlocked(each)


def _remove_unlocked(draft: Path) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(descriptor, draft):
            draft.unlink()
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
