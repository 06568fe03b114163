"""Unpacks an archive from a container into a local directory. The container may be hostile.

Links below the directory are never followed: an entry is made in a directory that is held by descriptor, which was
opened component by component. A link or a file that is in the way of a directory is an error, as in Docker.
"""

import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from cli.file_copies.copy_paths import Parts, Placement, renamed
from shoal.errors import InvalidInput, PermissionDenied
from shoal.tar import tar_header
from shoal.tar.budget import BudgetMeter, LayerBudget
from shoal.tar.tar_header import CONTIGUOUS, OLD_REGULAR, REGULAR
from shoal.tar.tar_reader import TarEntry, TarReader

MAX_DIRECTORIES = 1_000_000
"""In one archive: their modes and times are set at its end."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SET_ID = stat.S_ISUID | stat.S_ISGID
_LATEST_NS = (1 << 33) * 1_000_000_000


class _Directory(NamedTuple):
    parts: Parts
    mode: int
    time_ns: int
    owner: tuple[int, int]


class LocalExtraction:
    """One archive.

    Args:
        placement: into which directory, which exists, and under which names.
        keep_owner: users and groups, and setuid bits, as in the archive; otherwise all is the caller's.
    """

    def __init__(self, placement: Placement, *, keep_owner: bool) -> None:
        self._placement = placement
        self._keep_owner = keep_owner
        self._parent: tuple[Parts, int] | None = None
        self._directories: list[_Directory] = []
        self._root = -1

    def run(self, read: Callable[[int], bytes]) -> None:
        """Unpack all of it.

        Args:
            read: returns the next bytes of the archive, fewer only at its end.
        Raises:
            InvalidInput: it is invalid, or does not fit to what is there. PermissionDenied: it has devices.
            OSError: something cannot be written. What came before stays.
        """
        reader = TarReader(read, BudgetMeter(LayerBudget()))
        self._root = os.open(self._placement.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for entry in reader.entries():
                self._entry(reader, entry)
            self._finish_directories()
        except InvalidInput as error:
            # The reader speaks of layers, for which it was written.
            raise InvalidInput(str(error).replace("the layer", "the archive").replace("layer entry", "entry")) from None
        finally:
            self._close_parent()
            os.close(self._root)

    def _entry(self, reader: TarReader, entry: TarEntry) -> None:
        header, parts = entry.header, renamed(_parts(entry.header.name), self._placement)
        if header.kind == tar_header.DIRECTORY:
            self._directory(parts, entry)
            return
        if not parts or entry.sparse:
            raise InvalidInput(f"entry {_shown(parts)} is not supported: it has no name, or is sparse")
        if header.kind in (tar_header.CHARACTER, tar_header.BLOCK_DEVICE):
            raise PermissionDenied(f"{_shown(parts)} is a device, which is not copied; use `-` and tar(1) for devices")
        parent, name = self._open_parent(parts[:-1]), parts[-1]
        self._remove_existing(parent, parts)
        if header.kind in (REGULAR, OLD_REGULAR, CONTIGUOUS):
            self._regular(parent, name, reader, entry)
        elif header.kind == tar_header.SYMLINK:
            os.symlink(os.fsdecode(header.link), name, dir_fd=parent)
            if self._keep_owner:
                os.chown(name, header.uid, header.gid, dir_fd=parent, follow_symlinks=False)
        elif header.kind == tar_header.HARD_LINK:
            self._hard_link(parent, name, renamed(_parts(header.link), self._placement))
        elif header.kind == tar_header.FIFO:
            os.mkfifo(name, header.mode & 0o777, dir_fd=parent)
        else:
            raise InvalidInput(f"entry {_shown(parts)} has unknown type {header.kind!r}")

    def _directory(self, parts: Parts, entry: TarEntry) -> None:
        """Its mode and times are set at the end: it may be one that nothing can be written to."""
        if not parts:
            return
        parent, name = self._open_parent(parts[:-1]), parts[-1]
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                text = f"cannot overwrite non-directory {_shown(parts)} with a directory"
                raise InvalidInput(text) from None
        if len(self._directories) >= MAX_DIRECTORIES:
            raise InvalidInput(f"the archive has too many directories; the maximum is {MAX_DIRECTORIES}")
        header = entry.header
        self._directories.append(_Directory(parts, header.mode, header.mtime_ns, (header.uid, header.gid)))

    def _finish_directories(self) -> None:
        for each in reversed(self._directories):
            descriptor = os.open(each.parts[-1], _DIRECTORY, dir_fd=self._open_parent(each.parts[:-1]))
            try:
                self._set_metadata(descriptor, each.mode, each.time_ns, each.owner)
            finally:
                os.close(descriptor)

    def _regular(self, parent: int, name: str, reader: TarReader, entry: TarEntry) -> None:
        descriptor = os.open(name, _CREATE, 0o600, dir_fd=parent)
        try:
            for piece in reader.content():
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
            header = entry.header
            self._set_metadata(descriptor, header.mode, header.mtime_ns, (header.uid, header.gid))
        finally:
            os.close(descriptor)

    def _hard_link(self, parent: int, name: str, target: Parts) -> None:
        if not target:
            raise InvalidInput(f"entry {_shown((name,))} is a link to nothing")
        source = self._walk(target[:-1])
        try:
            os.link(target[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _set_metadata(self, descriptor: int, mode: int, time_ns: int, owner: tuple[int, int]) -> None:
        """A program of the container's must not become one that runs as the caller for everyone here."""
        if self._keep_owner:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode & 0o7777 if self._keep_owner else mode & 0o7777 & ~_SET_ID)
        time_ns = max(-_LATEST_NS, min(time_ns, _LATEST_NS))
        os.utime(descriptor, ns=(time_ns, time_ns))

    def _remove_existing(self, parent: int, parts: Parts) -> None:
        try:
            if stat.S_ISDIR(os.stat(parts[-1], dir_fd=parent, follow_symlinks=False).st_mode):
                raise InvalidInput(f"cannot overwrite directory {_shown(parts)} with a non-directory")
            os.unlink(parts[-1], dir_fd=parent)
        except FileNotFoundError:
            return

    def _open_parent(self, parts: Parts) -> int:
        """Descriptor of an entry's directory; valid until the next call."""
        if self._parent is not None and self._parent[0] == parts:
            return self._parent[1]
        self._close_parent()
        descriptor = self._walk(parts)
        self._parent = parts, descriptor
        return descriptor

    def _walk(self, parts: Parts) -> int:
        """Open a directory, component by component; what is missing is made."""
        above = os.dup(self._root)
        for number, part in enumerate(parts, 1):
            try:
                inner = _open_or_make(above, part)
            except NotADirectoryError:
                raise InvalidInput(f"{_shown(parts[:number])} is not a directory here") from None
            finally:
                os.close(above)
            above = inner
        return above

    def _close_parent(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None


def _open_or_make(above: int, name: str) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=above)
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=above)
        return os.open(name, _DIRECTORY, dir_fd=above)


def _parts(name: bytes) -> Parts:
    """Components of a name. Raises InvalidInput: it leads out of the directory, or is none."""
    text = os.fsdecode(name)
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in text:
        raise InvalidInput(f"entry {_shown(parts)} leads out of the directory")
    return parts


def _shown(parts: Parts) -> str:
    """For an error message: short, without terminal escape sequences."""
    text = "/".join(parts)
    return ascii(text if len(text) <= 120 else text[:120] + "…")
