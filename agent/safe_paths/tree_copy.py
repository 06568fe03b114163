"""Copies a file tree like `cp -a`, at any depth; source and target are held by descriptor.

Owners, modes, times, extended attributes (including access control lists and file capabilities), hard links within the
tree, and holes in files are preserved.
"""

import errno
import os
import secrets
import stat
from dataclasses import dataclass, field

from agent.safe_paths.descent import Descent
from agent.safe_paths.disk_flush import FileFlusher
from agent.safe_paths.sparse_files import copy_content
from agent.safe_paths.system_calls import open_beneath
from shoal.errors import InvalidInput
from shoal.tree_removal import delete_beneath

_IGNORED_ERRORS = (errno.ENOTSUP, errno.EPERM, errno.ENODATA)
"""Extended attributes that the target does not support, or that disappeared, are skipped, as by `cp -a`."""

_PATH_ONLY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""Opens a name of any kind, including links and devices, without accessing the file."""

MAX_PENDING = 1_000_000
"""Directory names that are held while others are copied: no real image has more, and they would fill the memory."""

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source: int, target: int, *, durable: bool = False, max_pending: int = MAX_PENDING) -> None:
    """Copy a directory's content, and its own owner, mode, times and attributes, into an empty one.

    Concurrent changes of the source may be copied in part, but nothing from outside of it: no symbolic link is followed
    and no device opened. Nothing else may write to the target.

    Args:
        source: descriptor of a directory; target: of another one.
        durable: wait until everything is on disk, so that it survives a crash of the host.
    Raises:
        OSError: the disk or the kernel failed, or the source was changed meanwhile. Part of it is copied.
        InvalidInput: too many directories in a directory. Part of it is copied.
    """
    copy = _Copy(Descent(source), Descent(target), FileFlusher() if durable else None, max_pending)
    try:
        copy.run()
    finally:
        copy.close()


@dataclass
class _Directory:
    """A directory that is being copied: its status, and the remaining directories in it."""

    status: os.stat_result
    pending: list[str] = field(default_factory=list)


class _Copy:
    def __init__(self, source: Descent, target: Descent, flush: FileFlusher | None, max_pending: int) -> None:
        self._source = source
        self._target = target
        self._flush = flush
        self._max_pending = max_pending
        self._pending = 0
        self._links = _HardLinks(target.descriptor)

    def close(self) -> None:
        if self._flush is not None:
            self._flush.close()
        self._links.close()
        self._source.close()
        self._target.close()

    def run(self) -> None:
        levels = [self._copy_directory_entries(os.fstat(self._source.descriptor))]
        while levels:
            if levels[-1].pending:
                levels.append(self._go_down(levels[-1].pending.pop()))
            else:
                done = levels.pop()
                if not levels:
                    self._links.remove_directory()
                copy_metadata(self._source.descriptor, self._target.descriptor, done.status)
                if levels:
                    self._source.leave()
                    self._target.leave()
                elif self._flush is not None:
                    self._flush.finish(self._target.descriptor)

    def _go_down(self, name: str) -> _Directory:
        self._pending -= 1
        os.mkdir(name, 0o700, dir_fd=self._target.descriptor)
        self._target.enter(name)
        return self._copy_directory_entries(self._source.enter(name))

    def _copy_directory_entries(self, status: os.stat_result) -> _Directory:
        """Copy the entries of the directory that was just entered, except directories."""
        found = _Directory(status)
        with os.scandir(self._source.descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    self._enqueue(found, entry.name)
                else:
                    self._copy_entry(entry.name)
        return found

    def _enqueue(self, found: _Directory, name: str) -> None:
        found.pending.append(name)
        self._pending += 1
        if self._pending > self._max_pending:
            raise InvalidInput(f"too many directories in one directory; the maximum is {self._max_pending:,}")

    def _copy_entry(self, name: str) -> None:
        into = self._target.descriptor
        source = os.open(name, _PATH_ONLY, dir_fd=self._source.descriptor)
        try:
            status = os.fstat(source)
            if not self._links.link(status, into, name):
                if stat.S_ISREG(status.st_mode):
                    self._copy_file(source, status, name)
                else:
                    _copy_special(source, status, into, name)
                self._links.add(status, into, name)
        finally:
            os.close(source)

    def _copy_file(self, source: int, status: os.stat_result, name: str) -> None:
        made = os.open(name, _NEW_FILE, 0o600, dir_fd=self._target.descriptor)
        try:
            readable = os.open(f"/proc/self/fd/{source}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                copy_content(readable, made)
                copy_metadata(readable, made, status)
            finally:
                os.close(readable)
            if self._flush is not None and status.st_size:
                self._flush.add(os.dup(made))
        finally:
            os.close(made)


class _HardLinks:
    """Files with several names: the first copy is linked into a temporary directory, and further names are links to it.

    Args:
        top: descriptor of the target; it stays the caller's, and open as long as this is.
    """

    def __init__(self, top: int) -> None:
        self._top = os.dup(top)
        self._name = f".{secrets.token_hex(16)}"
        self._directory = -1

    def link(self, status: os.stat_result, into: int, name: str) -> bool:
        """If the file has been copied under another name, create a hard link; returns whether it did."""
        if status.st_nlink < 2 or self._directory < 0:
            return False
        try:
            os.link(_key(status), name, src_dir_fd=self._directory, dst_dir_fd=into, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def add(self, status: os.stat_result, into: int, name: str) -> None:
        """Remember a file that was just copied."""
        if status.st_nlink < 2:
            return
        if self._directory < 0:
            os.mkdir(self._name, 0o700, dir_fd=self._top)
            self._directory = open_beneath(self._top, self._name, os.O_RDONLY | os.O_DIRECTORY)
        os.link(name, _key(status), src_dir_fd=into, dst_dir_fd=self._directory, follow_symlinks=False)

    def remove_directory(self) -> None:
        """Remove the temporary directory."""
        if self._directory >= 0:
            delete_beneath(self._top, self._name)

    def close(self) -> None:
        for descriptor in (self._top, self._directory):
            if descriptor >= 0:
                os.close(descriptor)


def _key(status: os.stat_result) -> str:
    return f"{status.st_dev}-{status.st_ino}"


def _copy_special(source: int, status: os.stat_result, into: int, name: str) -> None:
    """Copy a symbolic link, a device, a FIFO or a socket, without opening it."""
    is_link = stat.S_ISLNK(status.st_mode)
    if is_link:
        os.symlink(os.readlink("", dir_fd=source), name, dir_fd=into)
    else:
        os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=into)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=into, follow_symlinks=False)
    if not is_link:
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=into)
    _copy_attributes(f"/proc/self/fd/{source}", f"/proc/self/fd/{into}/{name}")
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=into, follow_symlinks=False)


def copy_metadata(source: int, target: int, status: os.stat_result) -> None:
    """Copy owner, mode, times and extended attributes of an open file or directory to another one.

    Args:
        status: of the source.
    Raises:
        OSError: the disk or the kernel failed.
    """
    # The owner first: changing it clears file capabilities and set-user-ID bits.
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    _copy_attributes(source, target)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_attributes(source: int | str, target: int | str) -> None:
    for name in _attributes(source):
        try:
            os.setxattr(target, name, os.getxattr(source, name), follow_symlinks=isinstance(target, int))
        except OSError as error:
            if error.errno not in _IGNORED_ERRORS:
                raise


def _attributes(source: int | str) -> list[str]:
    try:
        return os.listxattr(source)
    except OSError as error:
        if error.errno not in _IGNORED_ERRORS:
            raise
        return []
