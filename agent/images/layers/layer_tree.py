"""Writes a layer's entries into a directory for overlayfs, never outside of it.

Whiteouts are character devices 0:0, opaque directories carry `trusted.overlay.opaque` (kernel: overlayfs.rst). All
state is in the file system: however many entries a layer has, only the directory last written to is held in memory.
"""

import os
import stat
from collections.abc import Callable, Mapping

from agent.images.layers.layer_paths import Parts, quoted
from agent.images.layers.path_walk import open_directory
from agent.images.layers.xattrs import OPAQUE, set_attributes
from agent.safe_paths.system_calls import open_directory_beneath
from shoal.errors import InvalidInput
from shoal.tar.budget import BudgetMeter

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class EntryMetadata:
    """An entry's metadata; `mtime_ns` since 1970, xattrs as they are set."""

    __slots__ = ("gid", "mode", "mtime_ns", "uid", "xattrs")

    def __init__(self, mode: int, uid: int, gid: int, mtime_ns: int, xattrs: Mapping[str, bytes]) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.xattrs = xattrs


class LayerTree:
    """Writes below one directory that nothing else writes to. Always `close` it.

    Args:
        root_fd: of that directory.
        discarded_fd: of a directory on the same file system; what a later entry replaces is moved there.
    """

    def __init__(self, root_fd: int, discarded_fd: int, meter: BudgetMeter) -> None:
        self._root_fd = root_fd
        self._discarded_fd = discarded_fd
        self._discarded = 0
        self._meter = meter
        self._current: _OpenDirectory | None = None

    def close(self) -> None:
        """Close descriptors; the last directory gets its modification time."""
        self._close_directory()

    def directory(self, path: Parts, metadata: EntryMetadata) -> None:
        """Create a directory, or update an existing one."""
        fd, hides_lower = self._new_directory(path) if path else (os.dup(self._root_fd), False)
        self._close_directory()
        self._current = _OpenDirectory(path, fd, metadata.mtime_ns)
        if hides_lower:
            os.setxattr(fd, OPAQUE, b"y")
        _set_metadata(fd, metadata, path)

    def file(self, path: Parts, metadata: EntryMetadata, write: Callable[[int], None]) -> None:
        """A regular file; `write` gets its descriptor."""
        opened: list[int] = []
        self._create(path, lambda name, fd: opened.append(os.open(name, _CREATE, 0o600, dir_fd=fd)))
        try:
            write(opened[0])
            _set_metadata(opened[0], metadata, path)
        finally:
            os.close(opened[0])

    def symlink(self, path: Parts, metadata: EntryMetadata, target: str) -> None:
        """A symbolic link with an unchanged target."""
        parent_fd = self._create(path, lambda name, fd: os.symlink(target, name, dir_fd=fd))
        os.chown(path[-1], metadata.uid, metadata.gid, dir_fd=parent_fd, follow_symlinks=False)
        _set_time(path[-1], metadata, parent_fd)

    def node(self, path: Parts, metadata: EntryMetadata, kind: int, device: int) -> None:
        """A device or a fifo: `kind` is S_IFCHR, S_IFBLK or S_IFIFO."""
        parent_fd = self._create(path, lambda name, fd: os.mknod(name, kind | 0o600, device, dir_fd=fd))
        os.chown(path[-1], metadata.uid, metadata.gid, dir_fd=parent_fd, follow_symlinks=False)
        os.chmod(path[-1], metadata.mode, dir_fd=parent_fd)
        _set_time(path[-1], metadata, parent_fd)

    def hard_link(self, path: Parts, target: Parts) -> None:
        """Another name of an existing entry of this layer."""
        name, fd = _name_of(path), self._open_parent(path)
        try:
            source_fd = open_directory(self._root_fd, target[:-1], self._meter, make=False)
        except FileNotFoundError as error:
            raise _no_such_file(path, target) from error
        try:
            if _name_of(target) == name and os.path.sameopenfile(source_fd, fd):
                return
            self._create(path, lambda name, fd: _link(source_fd, target[-1], name, fd))
        except (FileNotFoundError, PermissionError) as error:
            raise _no_such_file(path, target) from error
        finally:
            os.close(source_fd)

    def whiteout(self, path: Parts) -> None:
        """Hide a name of the lower layers; what this layer itself has under that name stays (layer.md)."""
        name, fd = _name_of(path), self._open_parent(path)
        found = _mode(fd, name)
        if found is None:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=fd)
        elif stat.S_ISDIR(found):
            self.opaque(path)

    def opaque(self, path: Parts) -> None:
        """Hide all that lower layers have in a directory."""
        self._close_directory()
        fd = open_directory(self._root_fd, path, self._meter, make=True)
        try:
            os.setxattr(fd, OPAQUE, b"y")
        finally:
            os.close(fd)

    def _new_directory(self, path: Parts) -> tuple[int, bool]:
        """Its descriptor, and whether it replaces a whiteout and so hides the contents of lower layers."""
        fd, name, hides_lower = self._open_parent(path), path[-1], False
        try:
            os.mkdir(name, 0o700, dir_fd=fd)
        except FileExistsError:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                hides_lower = stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
                self._remove_existing(fd, name)
                os.mkdir(name, 0o700, dir_fd=fd)
        return open_directory_beneath(fd, name), hides_lower

    def _create(self, path: Parts, create: Callable[[str, int], None]) -> int:
        """Call `create` in the entry's directory, replacing an existing entry; returns the directory's descriptor."""
        name, fd = _name_of(path), self._open_parent(path)
        try:
            create(name, fd)
        except FileExistsError:
            self._remove_existing(fd, name)
            create(name, fd)
        return fd

    def _open_parent(self, path: Parts) -> int:
        """Descriptor of an entry's directory, created if necessary; valid until the next call."""
        current = self._current
        if current is None or current.path != path[:-1]:
            self._close_directory()
            fd = open_directory(self._root_fd, path[:-1], self._meter, make=True)
            current = self._current = _OpenDirectory(path[:-1], fd, os.fstat(fd).st_mtime_ns)
        current.changed = True
        return current.fd

    def _close_directory(self) -> None:
        """Each new entry changes its directory's modification time: restore it."""
        if self._current is not None:
            current, self._current = self._current, None
            try:
                if current.changed:
                    os.utime(current.fd, ns=(current.mtime_ns, current.mtime_ns))
            finally:
                os.close(current.fd)

    def _remove_existing(self, fd: int, name: str) -> None:
        """Remove an entry that a later one replaces. A directory is only moved away: emptying it could take any
        time."""
        try:
            os.unlink(name, dir_fd=fd)
        except IsADirectoryError:
            self._discarded += 1
            os.rename(name, str(self._discarded), src_dir_fd=fd, dst_dir_fd=self._discarded_fd)
        if self._current is not None:
            # The path may resolve differently now; the descriptor is still valid for the current entry.
            self._current.path = None


class _OpenDirectory:
    """The directory last written to, with its path; `changed`: its modification time must be restored."""

    def __init__(self, path: Parts, fd: int, mtime_ns: int) -> None:
        self.path: Parts | None = path
        self.fd = fd
        self.mtime_ns = mtime_ns
        self.changed = False


def _name_of(path: Parts) -> str:
    if not path:
        raise InvalidInput("a layer entry for the root must be a directory")
    return path[-1]


def _no_such_file(path: Parts, target: Parts) -> InvalidInput:
    return InvalidInput(
        f"layer entry {quoted('/'.join(path))} links to {quoted('/'.join(target))}, which is not a file of the layer"
    )


def _mode(fd: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _set_metadata(fd: int, metadata: EntryMetadata, path: Parts) -> None:
    """In this order: changing the owner clears setuid bits and file capabilities."""
    os.fchown(fd, metadata.uid, metadata.gid)
    os.fchmod(fd, metadata.mode)
    if metadata.xattrs:
        set_attributes(fd, metadata.xattrs, path)
    os.utime(fd, ns=(metadata.mtime_ns, metadata.mtime_ns))


def _link(source_fd: int, source: str, name: str, fd: int) -> None:
    os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False)


def _set_time(name: str, metadata: EntryMetadata, parent_fd: int) -> None:
    os.utime(name, ns=(metadata.mtime_ns, metadata.mtime_ns), dir_fd=parent_fd, follow_symlinks=False)
