"""Local files as a tar archive (POSIX.1-2001 pax), as a stream of bounded memory."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cli.file_copies.copy_paths import CopiedPath, split_entry
from shoal.tar.archive_chunks import archive_chunks
from shoal.tar.tar_entries import KINDS, entry_content, entry_header

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Entry(NamedTuple):
    path: str
    name: str


def archive(source: CopiedPath, new_name: str = "") -> Iterator[bytes]:
    """The archive of a file or a directory with all below it; sockets are left out.

    Args:
        new_name: of the first component of all names; empty: the source's own.
    Raises:
        OSError: something cannot be read.
    """
    return archive_chunks(_entries(source, new_name))


def _entries(source: CopiedPath, new_name: str) -> Iterator[bytes]:
    directory, base = split_entry(source.path)
    links: dict[tuple[int, int], str] = {}
    path = directory if base == "." else f"{directory}/{base}"
    pending = [_Entry(path, new_name or ("." if base == "/" else base))]
    while pending:
        path, name = pending.pop()
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            yield _header(path, name + "/", status)
            with os.scandir(path) as found:
                names = sorted((each.name for each in found), reverse=True)
            pending.extend(_Entry(f"{path}/{each}", f"{name}/{each}") for each in names)
        else:
            yield from _file(path, name, status, links)


def _file(path: str, name: str, status: os.stat_result, links: dict[tuple[int, int], str]) -> Iterator[bytes]:
    key = status.st_dev, status.st_ino
    if stat.S_IFMT(status.st_mode) not in KINDS:
        return
    if status.st_nlink > 1 and key in links:
        yield _header(path, name, status, hard_link_to=links[key])
        return
    if status.st_nlink > 1:
        links[key] = name
    if stat.S_ISREG(status.st_mode):
        yield from _content(path, name)
    else:
        yield _header(path, name, status)


def _content(path: str, name: str) -> Iterator[bytes]:
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        yield entry_header(name, status)
        yield from entry_content(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _header(path: str, name: str, status: os.stat_result, *, hard_link_to: str = "") -> bytes:
    target = str(Path(path).readlink()) if stat.S_ISLNK(status.st_mode) else ""
    return entry_header(name, status, link_target=target, hard_link_to=hard_link_to)
