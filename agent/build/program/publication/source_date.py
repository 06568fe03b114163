"""SOURCE_DATE_EPOCH: no file of a layer is newer than it (reproducible-builds.org). Blocking."""

import os
from collections.abc import Iterator

NS = 1_000_000_000


def limit_times(upper: int, seconds: int) -> None:
    """Give files and directories below a directory that are newer than a moment its time. Nothing else uses them.

    Args:
        upper: descriptor of an upper directory.
    """
    for directory, name in _below(upper):
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if status.st_mtime_ns > seconds * NS:
            os.utime(name, ns=(seconds * NS, seconds * NS), dir_fd=directory, follow_symlinks=False)


def _below(top: int) -> Iterator[tuple[int, str]]:
    """Each name with a descriptor of its directory; what is in a directory comes before it."""
    for _, directories, files, directory in os.fwalk(".", topdown=False, dir_fd=top):
        for name in (*files, *directories):
            yield directory, name
