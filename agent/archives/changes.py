"""What a container has changed of its image's files, by comparing its upper directory with the layers below."""

import errno
import os
import stat
from collections.abc import Iterator
from enum import Enum, auto

from agent.archives.tar_stream import is_opaque
from agent.safe_paths.descent import Descent
from agent.safe_paths.system_calls import open_in_root

_PATH_ONLY = os.O_PATH | os.O_NOFOLLOW
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class ChangeKind(Enum):
    """What was done to a path."""

    MODIFIED = auto()
    ADDED = auto()
    DELETED = auto()


Change = tuple[ChangeKind, str]
"""What was done to an absolute path of the container."""


def changes(upper: int, below: int) -> Iterator[Change]:
    """All changes, parents before what is in them. A directory is modified if something in it is.

    The container may change more meanwhile.

    Args:
        upper: descriptor of its upper directory (kernel: overlayfs.rst).
        below: of the merged layers of its image.
    Raises:
        OSError: the disk failed, or the directory was changed meanwhile.
    """
    descent = Descent(upper)
    try:
        path: list[str] = []
        pending = [_directories(descent.descriptor)]
        yield from _entries(descent.descriptor, below, "")
        while pending:
            if not pending[-1]:
                pending.pop()
                if pending:
                    path.pop()
                    descent.leave()
                continue
            name = pending[-1].pop()
            try:
                descent.enter(name)
            except OSError as error:
                if error.errno in _ABSENT:
                    continue
                raise
            path.append(name)
            pending.append(_directories(descent.descriptor))
            yield from _entries(descent.descriptor, below, "/" + "/".join(path))
    finally:
        descent.close()


def _directories(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return sorted((entry.name for entry in entries if entry.is_dir(follow_symlinks=False)), reverse=True)


def _entries(directory: int, below: int, path: str) -> Iterator[Change]:
    """Changes of the entries of one directory."""
    with os.scandir(directory) as found:
        names = sorted(entry.name for entry in found)
    for name in names:
        full = f"{path}/{name}"
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            yield ChangeKind.DELETED, full
        else:
            yield (ChangeKind.MODIFIED if _is_below(below, full) else ChangeKind.ADDED), full
    if is_opaque(directory):
        yield from ((ChangeKind.DELETED, f"{path}/{name}") for name in _names_below(below, path) if name not in names)


def _is_below(below: int, path: str) -> bool:
    """Whether the layers have this path. Its directories are not links there, since they are directories above."""
    try:
        os.close(open_in_root(below, path, _PATH_ONLY))
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
    return True


def _names_below(below: int, path: str) -> list[str]:
    try:
        directory = open_in_root(below, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries)
    finally:
        os.close(directory)
