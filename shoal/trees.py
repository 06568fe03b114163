"""Deleting directories with all that is in them."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from shoal.errors import Unavailable

_AT_ONCE = 100
_MOST_SAID = 400


def delete_trees(*paths: Path) -> None:
    """Delete files and directories; those that are not there are no error. What is mounted below them stays.

    By a program of its own: layers of images and programs in containers make trees that are too deep for a function
    that calls itself, and too deep for their paths to be given to the kernel in one piece.

    Raises:
        Unavailable: something is left, with what `rm` said of it; all else is gone.
    """
    said = [_delete(paths[begin : begin + _AT_ONCE]) for begin in range(0, len(paths), _AT_ONCE)]
    if any(said):
        raise Unavailable(" ".join(filter(None, said))[:_MOST_SAID])


def _delete(paths: Sequence[Path]) -> str:
    """What is wrong with it, empty when nothing is."""
    command = ["rm", "-rf", "--one-file-system", "--", *map(str, paths)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        return f"rm: {error.strerror}"
    said = " ".join(done.stderr.decode(errors="replace").split())
    return (said or f"rm ended with code {done.returncode}") if done.returncode else ""
