"""What is in a directory of a container, as lstat(2) has it."""

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from agent.archives.lookup import find, shown
from shoal.errors import InvalidInput


class DirectoryEntry(NamedTuple):
    """One of them.

    Attributes:
        name: what is not UTF-8 in it is U+FFFD.
        link_target: of a symbolic link, likewise; otherwise empty.
    """

    name: str
    status: os.stat_result
    link_target: str


def directory_entries(root: int, path: str) -> Iterator[DirectoryEntry]:
    """In the order of the file system; what goes meanwhile is left out.

    Raises:
        NotFound, InvalidInput, Refused: as `find`; InvalidInput also when it is no directory.
    """
    found = find(root, path, follow=True)
    try:
        if not stat.S_ISDIR(found.status.st_mode):
            raise InvalidInput(f"{shown(path)} is not a directory")
        directory = os.open(f"/proc/self/fd/{found.descriptor}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(found.descriptor)
    try:
        with os.scandir(directory) as entries:
            for each in entries:
                try:
                    yield _entry(directory, each.name)
                except FileNotFoundError:
                    continue
    finally:
        os.close(directory)


def _entry(directory: int, name: str) -> DirectoryEntry:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(status.st_mode) else ""
    return DirectoryEntry(_text(name), status, _text(target))


def _text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")
