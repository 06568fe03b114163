"""Changes a directory into what the list of a context says. Blocking.

Nothing but this writes there, and each path is opened beneath the directory without following links.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from typing import Any

from agent.archives.disk_budget import DiskBudget
from agent.safe_paths.system_calls import open_beneath
from shoal.api.v1.builds_pb2 import ContextEntry

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class ContextTree:
    """One directory. `close` it. Calls raise OSError, and Exhausted where the disk is filling up."""

    def __init__(self, root: int, disk: DiskBudget) -> None:
        self._root = root
        self._disk = disk
        self._parent: tuple[bytes, int] | None = None

    def remove(self, entries: Iterable[ContextEntry]) -> None:
        """Remove them, what is in a directory before it."""
        for each in entries:
            parent, name = self._place(each.path)
            if stat.S_ISDIR(each.mode):
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)

    def make(self, entry: ContextEntry) -> None:
        """A directory, a link, a FIFO, or a hard link to what is there."""
        self._disk.add_entry()
        if entry.hard_link:
            self._hard_link(entry)
            return
        parent, name = self._place(entry.path)
        if stat.S_ISDIR(entry.mode):
            os.mkdir(name, 0o700, dir_fd=parent)
        elif stat.S_ISLNK(entry.mode):
            os.symlink(os.fsdecode(entry.link), name, dir_fd=parent)
            self._set_time(entry, parent, name)
        else:
            os.mkfifo(name, 0o600, dir_fd=parent)
            self.set_metadata(entry)

    def _hard_link(self, entry: ContextEntry) -> None:
        target, _, base = entry.link.rpartition(b"/")
        source = self._open(target)
        try:
            parent, name = self._place(entry.path)
            os.link(os.fsdecode(base), name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def create(self, entry: ContextEntry) -> "NewFile":
        """A file whose content comes."""
        self._disk.add_entry()
        self._disk.require(entry.size)
        parent, name = self._place(entry.path)
        return NewFile(os.open(name, _NEW, 0o600, dir_fd=parent), entry, self._disk)

    def set_metadata(self, entry: ContextEntry) -> None:
        """Mode and time of what is there, and no link."""
        parent, name = self._place(entry.path)
        os.chmod(name, stat.S_IMODE(entry.mode), dir_fd=parent)
        self._set_time(entry, parent, name)

    def _set_time(self, entry: ContextEntry, parent: int, name: str) -> None:
        os.utime(name, (entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def set_directories(self, entries: Sequence[ContextEntry]) -> None:
        """Modes and times of all directories, once nothing more is put into them."""
        for each in reversed(entries):
            if stat.S_ISDIR(each.mode):
                self.set_metadata(each)

    def close(self) -> None:
        """Close what is open."""
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def _place(self, path: bytes) -> tuple[int, str]:
        """Descriptor of an entry's directory, valid until the next call, and its name."""
        above, _, name = path.rpartition(b"/")
        if self._parent is None or self._parent[0] != above:
            self.close()
            self._parent = above, self._open(above)
        return self._parent[1], os.fsdecode(name)

    def _open(self, path: bytes) -> int:
        return open_beneath(self._root, os.fsdecode(path) or ".", _DIRECTORY)


class NewFile:
    """A file whose content is being received. Calls raise OSError, Exhausted.

    Attributes:
        size: bytes so far.
    """

    def __init__(self, descriptor: int, entry: ContextEntry, disk: DiskBudget) -> None:
        self._descriptor = descriptor
        self._entry = entry
        self._disk = disk
        self._content: Any = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Further bytes."""
        self._disk.add_bytes(len(data))
        self._content.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self) -> tuple[bytes, int]:
        """Complete it: its digest and its inode number."""
        os.fchmod(self._descriptor, stat.S_IMODE(self._entry.mode))
        os.utime(self._descriptor, (self._entry.mtime, self._entry.mtime))
        inode = os.fstat(self._descriptor).st_ino
        self.close()
        return self._content.digest(), inode

    def close(self) -> None:
        """Close it, complete or not."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
