"""Delete directory trees, also while their content is being renamed or replaced.

By `rm`, which goes down by descriptor and never over a symbolic link, and compares what it comes back to with what it
came from: it deletes nothing outside, and reports what it could not delete.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from shoal.errors import Unavailable

_AT_ONCE = 100
_MAX_ERROR_LENGTH = 400


def delete_trees(*paths: Path) -> None:
    """Delete files and directories; those that are not there are no error. What is mounted below them stays.

    By a program of its own: layers of images and programs in containers make trees that are too deep for a function
    that calls itself, and too deep for their paths to be given to the kernel in one piece.

    Args:
        paths: each in a directory that nobody else can replace; see `delete_beneath` for others.
    Raises:
        Unavailable: something is left, with the error of `rm`; all else is gone.
    """
    errors = [_delete(paths[begin : begin + _AT_ONCE]) for begin in range(0, len(paths), _AT_ONCE)]
    if any(errors):
        raise Unavailable(" ".join(filter(None, errors))[:_MAX_ERROR_LENGTH])


def delete_beneath(directory: int, name: str) -> None:
    """As `delete_trees`, one entry of an open directory, wherever that is by now.

    Raises:
        Unavailable: something is left. ValueError: the name is none of an entry.
    """
    if "/" in name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} is not a valid file name")
    if text := _delete([Path(name)], directory):
        raise Unavailable(text[:_MAX_ERROR_LENGTH])


def _delete(paths: Sequence[Path], directory: int | None = None) -> str:
    """What is wrong with it, empty when nothing is."""
    command = ["rm", "-rf", "--one-file-system", "--", *map(str, paths)]
    place = f"/proc/self/fd/{directory}" if directory is not None else None
    try:
        done = subprocess.run(command, capture_output=True, check=False, cwd=place)
    except OSError as error:
        return f"rm: {error.strerror}"
    text = " ".join(done.stderr.decode(errors="replace").split())
    return (text or f"rm exited with code {done.returncode}") if done.returncode else ""
