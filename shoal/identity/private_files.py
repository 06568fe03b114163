"""Files that only their owner may read, replaced whole or not at all."""

import os
from pathlib import Path

_OWNER_ONLY_DIRECTORY = 0o700


def make_private_directory(directory: Path) -> None:
    """Make the directory with its parents; the last one is for the owner alone.

    One that is there stays as it is: it may be `/etc`, and the files in it have modes of their own.

    Raises:
        OSError: it cannot be made.
    """
    directory.mkdir(_OWNER_ONLY_DIRECTORY, parents=True, exist_ok=True)


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Readers see the old file or the new one, never a part, also after a loss of power.

    Raises:
        OSError: nothing is left of the new file.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
