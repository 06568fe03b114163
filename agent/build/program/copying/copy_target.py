"""Places what is copied in a root file system: the kernel resolves paths in it, and what is missing is made."""

import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.archives.disk_budget import DiskBudget
from agent.build.program.copying.copy_metadata import CopyOwner, changed_mode
from agent.build.program.copying.copy_sources import Found
from agent.safe_paths.sparse_files import copy_content
from agent.safe_paths.system_calls import change_owner, open_in_root
from shoal.errors import InvalidInput

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_KEPT_ATTRIBUTES = ("security.capability",)
MAX_HARD_LINKS = 1_000_000


@dataclass
class CopyTarget:
    """One root file system that is copied into.

    Attributes:
        root: its descriptor. chmod: as of `changed_mode`.
    """

    root: int
    owner: CopyOwner
    chmod: str
    disk: DiskBudget
    _links: dict[tuple[int, int], str] = field(default_factory=dict)
    _times: list[tuple[str, int]] = field(default_factory=list)

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

    def make_directories(self, path: str, *, mode: int = 0o755) -> bool:
        """A directory with those above it; whether the last one is new. Raises InvalidInput: another thing is there."""
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
                with self._open_directory(path) as directory:
                    self._finish(found, directory)
                self._times.append((path, found.status.st_mtime_ns))
            return
        parent, name = posixpath.split(path)
        with self._open_directory(parent) as directory:
            _remove(directory, name, path)
            if not self._link(found, directory, name):
                self._create(found, directory, name)
                if found.status.st_nlink > 1 and len(self._links) < MAX_HARD_LINKS:
                    self._links[found.status.st_dev, found.status.st_ino] = path

    def write(self, path: str, content: bytes, mode: int, mtime_ns: int | None) -> None:
        """A new file. Raises as `place` does."""
        self.disk.add_bytes(len(content))
        parent, name = posixpath.split(path)
        with self._open_directory(parent) as directory:
            _remove(directory, name, path)
            descriptor = os.open(name, _NEW, 0o600, dir_fd=directory)
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
        try:
            descriptor = open_in_root(self.root, path or "/", _DIRECTORY)
        except OSError as error:
            raise InvalidInput(f"{path[:200]}: {error.strerror}") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _link(self, found: Found, directory: int, name: str) -> bool:
        first = self._links.get((found.status.st_dev, found.status.st_ino)) if found.status.st_nlink > 1 else None
        if first is None:
            return False
        parent, base = posixpath.split(first)
        with self._open_directory(parent) as source:
            try:
                os.link(base, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:  # replaced by a later source
                return False
        return True

    def _create(self, found: Found, directory: int, name: str) -> None:
        kind = stat.S_IFMT(found.status.st_mode)
        if kind == stat.S_IFREG:
            self._copy_file(found, directory, name)
            return
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink("", dir_fd=found.descriptor), name, dir_fd=directory)
        elif kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK):
            os.mknod(name, kind | 0o600, found.status.st_rdev, dir_fd=directory)
        else:
            return  # a socket
        held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            change_owner(held, *self._ids(found))
            if kind != stat.S_IFLNK:
                Path(f"/proc/self/fd/{held}").chmod(changed_mode(found.status.st_mode, self.chmod))
        finally:
            os.close(held)
        times = (found.status.st_mtime_ns, found.status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)

    def _copy_file(self, found: Found, directory: int, name: str) -> None:
        self.disk.require(found.status.st_size)
        self.disk.add_bytes(found.status.st_size)
        source = os.open(f"/proc/self/fd/{found.descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            target = os.open(name, _NEW, 0o600, dir_fd=directory)
            try:
                copy_content(source, target)
                self._finish(found, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _finish(self, found: Found, target: int) -> None:
        """In this order: changing the owner clears setuid bits and file capabilities."""
        os.fchown(target, *self._ids(found))
        os.fchmod(target, changed_mode(found.status.st_mode, self.chmod))
        _copy_attributes(found.descriptor, target)
        os.utime(target, ns=(found.status.st_mtime_ns, found.status.st_mtime_ns))

    def _ids(self, found: Found) -> tuple[int, int]:
        return _id(self.owner.uid, found.status.st_uid), _id(self.owner.gid, found.status.st_gid)


def _id(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given


def _copy_attributes(source: int, target: int) -> None:
    path = f"/proc/self/fd/{source}"
    with suppress(OSError):  # the file system has none
        for name in os.listxattr(path):
            if name.startswith("user.") or name in _KEPT_ATTRIBUTES:
                os.setxattr(target, name, os.getxattr(path, name))


def _remove(directory: int, name: str, path: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise InvalidInput(f"cannot copy a file to {path[:200]}, which is a directory") from None


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
