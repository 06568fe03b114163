"""Mount points of a RUN in its root file system: made before it, removed after it where they were made."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.safe_paths.system_calls import open_in_root
from shoal.errors import InvalidInput

_PATH = os.O_PATH | os.O_DIRECTORY
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def mount_points(root: int, directories: Sequence[str], files: Sequence[str]) -> Iterator[None]:
    """Make what is missing; afterwards remove it again, unless something is in it by then.

    Args:
        root: descriptor of the root file system.
        directories, files: absolute paths.
    Raises:
        InvalidInput: a component of a path is no directory.
    """
    made: list[tuple[int, str, bool]] = []
    try:
        for path in directories:
            _make(root, path, made, is_file=False)
        for path in files:
            _make(root, path, made, is_file=True)
        yield
    finally:
        for parent, name, is_file in reversed(made):
            with suppress(OSError):
                _remove(parent, name, is_file)
            os.close(parent)


def _make(root: int, path: str, made: list[tuple[int, str, bool]], *, is_file: bool) -> None:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    done = "/"
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if not _exists(root, f"{done}{part}"):
            try:
                parent = open_in_root(root, done, _PATH)
            except OSError as error:
                raise InvalidInput(f"cannot mount at {path[:120]!r}: {error.strerror}") from error
            _create(parent, part, is_file=is_file and last)
            made.append((parent, part, is_file and last))
        done = f"{done}{part}/"


def _exists(root: int, path: str) -> bool:
    try:
        os.close(open_in_root(root, path, os.O_PATH))
    except OSError:
        return False
    return True


def _create(parent: int, name: str, *, is_file: bool) -> None:
    directory = Path(f"/proc/self/fd/{parent}")
    before = directory.stat()
    if is_file:
        os.close(os.open(directory / name, _FILE, 0o644))
    else:
        (directory / name).mkdir(0o755)
    os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))


def _remove(parent: int, name: str, is_file: bool) -> None:
    """A file that something was written to, and a directory with something in it, stay."""
    directory = Path(f"/proc/self/fd/{parent}")
    before = directory.stat()
    path = directory / name
    if not is_file:
        path.rmdir()
    elif stat.S_ISREG((found := path.lstat()).st_mode) and not found.st_size:
        path.unlink()
    os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
