"""Local paths of a copy: what is there, and errors before anything is copied."""

import os
import stat
from pathlib import Path

from cli.file_copies.copy_paths import CopiedPath, CopyDestination, absolute, clean, followed, split_entry
from shoal.errors import InvalidInput, NotFound


def local_source(path: str, *, follow: bool) -> CopiedPath:
    """What is to be copied.

    Args:
        follow: a link at its end; one before it, or with a slash after it, is followed in any case.

    Raises:
        NotFound: it is not there. OSError.
    """
    full, rebase_name = absolute(path, str(Path.cwd())), ""
    if follow or full.endswith(("/", "/.")):
        full, rebase_name = followed(full, os.path.realpath(full))
    try:
        mode = os.lstat(full).st_mode
    except FileNotFoundError:
        raise NotFound(f"lstat {path}: no such file or directory") from None
    return CopiedPath(full, stat.S_ISDIR(mode), rebase_name)


def local_target(path: str) -> CopyDestination:
    """Where something is to be copied to; a link is followed.

    Raises:
        InvalidInput: its directory is not there, or it is neither a directory nor a regular file.
    """
    full = absolute(path, str(Path.cwd()))
    parent = Path(clean(full)).parent
    if not parent.exists():
        raise InvalidInput(f'invalid output path: directory "{parent}" does not exist')
    if Path(clean(full)).is_symlink():
        full = os.path.realpath(full)
        if not Path(split_entry(full)[0]).is_dir():
            raise InvalidInput(f"invalid output path: {split_entry(full)[0]} is not a directory")
    try:
        mode = Path(full).stat().st_mode
    except FileNotFoundError:
        return CopyDestination(full, exists=False, is_directory=False)
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise InvalidInput(f'invalid output path: "{path}" must be a directory or a regular file')
    if full.endswith("/") and not stat.S_ISDIR(mode):
        raise InvalidInput(f"{path}: not a directory")
    return CopyDestination(full, exists=True, is_directory=stat.S_ISDIR(mode))
