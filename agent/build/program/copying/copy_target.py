"""Places what is copied in a root file system: the kernel resolves paths in it, and what is missing is made."""

import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from agent.archives.disk_budget import DiskBudget
from agent.build.program.copying.copy_metadata import CopyOwner, changed_mode, new_directory_mode
from agent.build.program.copying.copy_sources import Found
from agent.safe_paths.sparse_files import copy_content
from agent.safe_paths.system_calls import change_owner, open_in_root
from shoal.errors import InvalidInput

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_KEPT_ATTRIBUTES = ("security.capability",)
MAX_HARD_LINKS = 1_000_000
_SMALL = 64 << 10
T = TypeVar("T")


@dataclass
class CopyTarget:
    """One root file system that is copied into; `close` it before it is unmounted.

    Attributes:
        root: its descriptor. chmod: as of `changed_mode`.
    """

    root: int
    owner: CopyOwner
    chmod: str
    disk: DiskBudget
    _links: dict[tuple[int, int], str] = field(default_factory=dict)
    _times: list[tuple[str, int]] = field(default_factory=list)
    _held: tuple[str, int] | None = None

    def is_directory(self, path: str) -> bool:
        """Whether a directory is there, links resolved."""
        try:
            descriptor = open_in_root(self.root, path, os.O_PATH)
        except OSError:
            return False
        try:
            return stat.S_ISDIR(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)

    def begin_source(self) -> None:
        """What comes now is of another source: files of two sources are no hard links of each other."""
        self._links.clear()

    def make_directories(self, path: str, *, mode: int | None = None) -> bool:
        """A directory with those above it; whether the last one is new.

        Args:
            mode: of those that are missing; by default an octal `--chmod`, else `NEW_DIRECTORY`.
        Raises:
            InvalidInput: another thing is there.
        """
        mode = new_directory_mode(self.chmod) if mode is None else mode
        done, made = "/", False
        for part in _parts(path):
            made = self._make_directory(done, part, mode)
            done = f"{done}{part}/"
        return made

    def _make_directory(self, parent: str, name: str, mode: int) -> bool:
        with self._open_directory(parent) as directory:
            try:
                os.mkdir(name, mode, dir_fd=directory)
            except FileExistsError:
                if not self.is_directory(f"{parent}{name}"):
                    raise InvalidInput(f"{parent}{name} is not a directory") from None
                return False
            os.chown(name, _id(self.owner.uid, 0), _id(self.owner.gid, 0), dir_fd=directory, follow_symlinks=False)
            os.chmod(name, mode, dir_fd=directory)
            return True

    def place(self, found: Found, path: str, *, overwrites: bool) -> None:
        """Put one file or directory, without what is in it, at an absolute path.

        Args:
            overwrites: a directory that is there gets the owner, mode and times of this one.
        Raises:
            InvalidInput: a directory would replace something else, or the other way round. Exhausted: the disk.
        """
        self.disk.add_entry()
        if found.is_directory:
            made = self.make_directories(path)
            if made or overwrites:
                self._finish_directory(found, path)
                self._times.append((path, found.status.st_mtime_ns))
            return
        parent, name = posixpath.split(path)
        with self._open_directory(parent) as directory:
            if found.status.st_nlink > 1:
                _remove(directory, name, path)
            if not self._link(found, directory, name):
                self._create(found, directory, name, path)
                if found.status.st_nlink > 1 and len(self._links) < MAX_HARD_LINKS:
                    self._links[found.status.st_dev, found.status.st_ino] = path

    def _finish_directory(self, found: Found, path: str) -> None:
        source = found.open(os.O_DIRECTORY)
        try:
            with self._open_directory(path) as directory:
                self._finish(found, source, directory)
        finally:
            os.close(source)

    def write(self, path: str, content: bytes, mode: int, mtime_ns: int | None) -> None:
        """A new file. Raises as `place` does."""
        self.disk.add_bytes(len(content))
        parent, name = posixpath.split(path)
        with self._open_directory(parent) as directory:
            descriptor = _replacing(lambda: os.open(name, _NEW, 0o600, dir_fd=directory), directory, name, path)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchown(descriptor, _id(self.owner.uid, 0), _id(self.owner.gid, 0))
                os.fchmod(descriptor, changed_mode(stat.S_IFREG | mode, self.chmod))
                if mtime_ns is not None:
                    os.utime(descriptor, ns=(mtime_ns, mtime_ns))

    def finish(self) -> None:
        """Give directories their times, once nothing more is put into them."""
        for path, time_ns in reversed(self._times):
            with suppress(OSError), self._open_directory(path) as directory:
                os.utime(directory, ns=(time_ns, time_ns))

    @contextmanager
    def _open_directory(self, path: str) -> Iterator[int]:
        """The last one that was asked for stays open: files come directory by directory."""
        if self._held is None or self._held[0] != path:
            self.close()
            try:
                self._held = path, open_in_root(self.root, path or "/", _DIRECTORY)
            except OSError as error:
                raise InvalidInput(f"{path[:200]}: {error.strerror}") from error
        yield self._held[1]

    def close(self) -> None:
        """Close what is open; also where a link may have been replaced that was on the way."""
        if self._held is not None:
            os.close(self._held[1])
            self._held = None

    def _link(self, found: Found, directory: int, name: str) -> bool:
        first = self._links.get((found.status.st_dev, found.status.st_ino)) if found.status.st_nlink > 1 else None
        if first is None:
            return False
        parent, base = posixpath.split(first)
        source = open_in_root(self.root, parent or "/", _DIRECTORY)
        try:
            os.link(base, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:  # replaced by a later source
            return False
        finally:
            os.close(source)
        return True

    def _create(self, found: Found, directory: int, name: str, path: str) -> None:
        kind = stat.S_IFMT(found.status.st_mode)
        if kind == stat.S_IFREG:
            self._copy_file(found, directory, name, path)
        elif kind == stat.S_IFLNK:
            _replacing(lambda: os.symlink(found.link_target(), name, dir_fd=directory), directory, name, path)
            self._finish_special(found, directory, name)
        elif kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK):
            mode, device = kind | 0o600, found.status.st_rdev
            _replacing(lambda: os.mknod(name, mode, device, dir_fd=directory), directory, name, path)
            self._finish_special(found, directory, name)
        else:  # a socket
            _remove(directory, name, path)

    def _finish_special(self, found: Found, directory: int, name: str) -> None:
        """Of what cannot be opened."""
        held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            change_owner(held, *self._ids(found))
            if not stat.S_ISLNK(found.status.st_mode):
                Path(f"/proc/self/fd/{held}").chmod(changed_mode(found.status.st_mode, self.chmod))
        finally:
            os.close(held)
        times = (found.status.st_mtime_ns, found.status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)

    def _copy_file(self, found: Found, directory: int, name: str, path: str) -> None:
        self.disk.require(found.status.st_size)
        self.disk.add_bytes(found.status.st_size)
        source = found.open()
        try:
            target = _replacing(lambda: os.open(name, _NEW, 0o600, dir_fd=directory), directory, name, path)
            try:
                _copy_small(source, target, found.status)
                self._finish(found, source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _finish(self, found: Found, source: int, target: int) -> None:
        """In this order: changing the owner clears setuid bits and file capabilities."""
        os.fchown(target, *self._ids(found))
        os.fchmod(target, changed_mode(found.status.st_mode, self.chmod))
        _copy_attributes(source, target)
        os.utime(target, ns=(found.status.st_mtime_ns, found.status.st_mtime_ns))

    def _ids(self, found: Found) -> tuple[int, int]:
        return _id(self.owner.uid, found.status.st_uid), _id(self.owner.gid, found.status.st_gid)


def _copy_small(source: int, target: int, status: os.stat_result) -> None:
    """Most files are small: two system calls in place of those that find holes and share blocks."""
    if not 0 < status.st_size <= _SMALL:
        copy_content(source, target)
        return
    view = memoryview(os.read(source, _SMALL))
    while view:
        view = view[os.write(target, view) :]


def _id(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given


def _copy_attributes(source: int, target: int) -> None:
    with suppress(OSError):  # the file system has none
        for name in os.listxattr(source):
            if name.startswith("user.") or name in _KEPT_ATTRIBUTES:
                os.setxattr(target, name, os.getxattr(source, name))


def _replacing(make: Callable[[], T], directory: int, name: str, path: str) -> T:
    """Make something that replaces what has its name. Raises InvalidInput: that is a directory."""
    try:
        return make()
    except FileExistsError:
        _remove(directory, name, path)
        return make()


def _remove(directory: int, name: str, path: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise InvalidInput(f"cannot copy a file to {path[:200]}, which is a directory") from None


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
