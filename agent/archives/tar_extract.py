"""Unpacks a tar archive into a directory of a container, which may be running and hostile, as may the archive.

Every path is resolved by the kernel with the container's root as root, so that neither links nor `..` lead out of it;
files are created in directories that are held by descriptor, and never opened if they are there already.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.archives.disk_budget import DiskBudget
from agent.archives.known_content import KnownContent
from agent.archives.lookup import PATH_ONLY, check_path, open_path, require_ordinary, shown
from agent.images.layers.layer_paths import Parts, link_target, path_parts
from agent.images.layers.xattrs import allowed_attributes, set_attributes
from agent.safe_paths.system_calls import change_owner, open_beneath, open_in_root
from shoal.errors import InvalidInput, NotFound, PermissionDenied
from shoal.tar import tar_header
from shoal.tar.budget import BudgetMeter, LayerBudget
from shoal.tar.tar_header import CONTIGUOUS, OLD_REGULAR, REGULAR
from shoal.tar.tar_reader import TarEntry, TarReader
from shoal.tree_removal import delete_beneath

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_NODES = {
    tar_header.CHARACTER: stat.S_IFCHR,
    tar_header.BLOCK_DEVICE: stat.S_IFBLK,
    tar_header.FIFO: stat.S_IFIFO,
}
MAX_TIMES = 65_536
"""Directories of one archive that get its times; those after them have the times of their writing."""

_LATEST_NS = (1 << 33) * 1_000_000_000
_MAX_ID = 2**32 - 2


@dataclass(frozen=True)
class ExtractOptions:
    """How an archive is unpacked.

    Attributes:
        keep_kinds: a directory does not replace a file, nor the other way round.
        owner: user and group id of everything; None: as the archive says.
        devices: device files are made; otherwise they are refused.
        known: gets the contents of regular files by inode number, which are hashed as they are written.
    """

    keep_kinds: bool = False
    owner: tuple[int, int] | None = None
    devices: bool = False
    known: dict[int, KnownContent] | None = None


def extract(root: int, path: str, read: Callable[[int], bytes], options: ExtractOptions, disk: DiskBudget) -> None:
    """Unpack below a directory.

    Args:
        root: descriptor of the container's root.
        path: of a directory, absolute in the container; links are followed.
        read: returns the next bytes of the archive, fewer only at its end.
    Raises:
        NotFound: the directory does not exist. Refused: it is in a file system of the kernel.
        InvalidInput: it is none, or the archive is invalid, or does not fit to what is there.
        PermissionDenied: the archive has devices, or the container cannot be written to.
        Exhausted: the disk is filling up. OSError: it fails. What came before stays.
    """
    check_path(path)
    descriptor = open_path(root, path, os.O_PATH)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise InvalidInput(f"path: {shown(path)} is not a directory")
        require_ordinary(descriptor, path)
    finally:
        os.close(descriptor)
    _Extraction(root, path, options, disk).run(read)


class _Extraction:
    def __init__(self, root: int, path: str, options: ExtractOptions, disk: DiskBudget) -> None:
        self._root = root
        self._path = path.rstrip("/")
        self._options = options
        self._disk = disk
        self._meter = BudgetMeter(LayerBudget())
        self._parent: tuple[Parts, int] | None = None
        self._times: dict[Parts, int] = {}

    def run(self, read: Callable[[int], bytes]) -> None:
        reader = TarReader(read, self._meter)
        try:
            for entry in reader.entries():
                self._disk.add_entry()
                self._checked(reader, entry)
            self._set_times()
        except InvalidInput as error:
            # The reader speaks of layers, for which it was written.
            raise InvalidInput(str(error).replace("the layer", "the archive").replace("layer entry", "entry")) from None
        finally:
            self._close_parent()

    def _checked(self, reader: TarReader, entry: TarEntry) -> None:
        name = os.fsdecode(entry.header.name)
        try:
            self._entry(reader, entry, path_parts(name))
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EPERM, errno.EACCES):
                raise PermissionDenied(f"entry {shown(name)} cannot be written: {error.strerror}") from None
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            raise InvalidInput(f"entry {shown(name)} cannot be written: {error.strerror}") from None

    def _entry(self, reader: TarReader, entry: TarEntry, path: Parts) -> None:
        header = entry.header
        if entry.sparse:
            raise InvalidInput(f"entry {shown('/'.join(path))} is a sparse file, which is not supported")
        if header.kind == tar_header.DIRECTORY:
            self._directory(path, entry)
            return
        if not path:
            raise InvalidInput("an entry for the directory itself must be a directory")
        parent = self._open_parent(path[:-1])
        if header.kind in (REGULAR, OLD_REGULAR, CONTIGUOUS):
            self._disk.require(header.size)
            self._remove_existing(parent, path)
            self._regular(parent, path, reader, entry)
        elif header.kind == tar_header.SYMLINK:
            target = link_target("/".join(path), os.fsdecode(header.link))
            self._remove_existing(parent, path)
            os.symlink(target, path[-1], dir_fd=parent)
            self._finish(parent, path[-1], entry, chmod=False)
        elif header.kind == tar_header.HARD_LINK:
            self._hard_link(parent, path, path_parts(os.fsdecode(header.link)))
        elif header.kind in _NODES:
            self._node(parent, path, entry)
        else:
            raise InvalidInput(f"entry {shown('/'.join(path))} has unknown type {header.kind!r}")

    def _directory(self, path: Parts, entry: TarEntry) -> None:
        """Make it, or give the one that is there the archive's owner and mode."""
        if not path:
            return  # the directory itself stays as it is
        parent, name = self._open_parent(path[:-1]), path[-1]
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                if self._options.keep_kinds:
                    raise _other_kind(path, "a directory", "no directory") from None
                self._remove_existing(parent, path)
                os.mkdir(name, 0o700, dir_fd=parent)
        descriptor = open_beneath(parent, name, _DIRECTORY | os.O_NOFOLLOW)
        try:
            require_ordinary(descriptor, "/".join(path))
            self._set_metadata(descriptor, path, entry)
        finally:
            os.close(descriptor)
        if len(self._times) < MAX_TIMES:
            self._times[path] = entry.header.mtime_ns

    def _set_times(self) -> None:
        """Of directories, once nothing more is written into them. One that the container has replaced keeps its own."""
        for path, time_ns in self._times.items():
            with suppress(OSError):
                descriptor = open_in_root(self._root, self._full(path), _DIRECTORY | os.O_NOFOLLOW)
                try:
                    _set_time(descriptor, time_ns)
                finally:
                    os.close(descriptor)

    def _regular(self, parent: int, path: Parts, reader: TarReader, entry: TarEntry) -> None:
        descriptor = os.open(path[-1], _CREATE, 0o600, dir_fd=parent)
        content = None if self._options.known is None else hashlib.sha256()
        try:
            for piece in reader.content():
                self._disk.add_bytes(len(piece))
                if content is not None:
                    content.update(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
            self._set_metadata(descriptor, path, entry)
            if self._options.known is not None and content is not None:
                known = KnownContent(content.digest(), entry.header.size, _capability(entry))
                self._options.known[os.fstat(descriptor).st_ino] = known
        finally:
            os.close(descriptor)

    def _hard_link(self, parent: int, path: Parts, target: Parts) -> None:
        if not target:
            raise InvalidInput(f"entry {shown('/'.join(path))} is a link to nothing")
        source = open_path(self._root, self._full(target[:-1]), os.O_PATH | os.O_DIRECTORY)
        try:
            if target[-1] == path[-1] and os.path.sameopenfile(source, parent):
                return
            self._remove_existing(parent, path)
            os.link(target[-1], path[-1], src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _node(self, parent: int, path: Parts, entry: TarEntry) -> None:
        kind, (major, minor) = _NODES[entry.header.kind], entry.header.device
        if kind != stat.S_IFIFO and not self._options.devices:
            raise PermissionDenied(f"entry {shown('/'.join(path))} is a device; devices are created only on request")
        if kind != stat.S_IFIFO and not (0 < major < 1 << 12 and 0 <= minor < 1 << 20):
            # Among others 0:0, which overlayfs takes for a deleted file.
            raise InvalidInput(f"entry {shown('/'.join(path))} has an invalid device number {major}:{minor}")
        self._remove_existing(parent, path)
        os.mknod(path[-1], kind | 0o600, os.makedev(major, minor), dir_fd=parent)
        self._finish(parent, path[-1], entry, chmod=True)

    def _finish(self, parent: int, name: str, entry: TarEntry, *, chmod: bool) -> None:
        """Metadata of what was just made under a name, and cannot be opened; the container may have replaced it since,
        so it is held by descriptor first."""
        held = os.open(name, PATH_ONLY | os.O_CLOEXEC, dir_fd=parent)
        try:
            kind = stat.S_IFMT(os.fstat(held).st_mode)
            if kind != (stat.S_IFLNK if not chmod else _NODES[entry.header.kind]):
                return
            change_owner(held, *self._owner(name, entry))
            if chmod:
                Path(f"/proc/self/fd/{held}").chmod(entry.header.mode & 0o7777)
        finally:
            os.close(held)

    def _set_metadata(self, descriptor: int, path: Parts, entry: TarEntry) -> None:
        """In this order: changing the owner clears setuid bits and file capabilities."""
        os.fchown(descriptor, *self._owner("/".join(path), entry))
        os.fchmod(descriptor, entry.header.mode & 0o7777)
        if attributes := allowed_attributes(entry.xattrs):
            set_attributes(descriptor, attributes, path)
        _set_time(descriptor, entry.header.mtime_ns)

    def _owner(self, name: str, entry: TarEntry) -> tuple[int, int]:
        uid, gid = self._options.owner or (entry.header.uid, entry.header.gid)
        if not 0 <= uid <= _MAX_ID or not 0 <= gid <= _MAX_ID:
            raise InvalidInput(f"entry {shown(name)} has an invalid owner {uid}:{gid}")
        return uid, gid

    def _remove_existing(self, parent: int, path: Parts) -> None:
        """Remove what has the name of an entry that is no directory."""
        name = path[-1]
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            if self._options.keep_kinds:
                raise _other_kind(path, "no directory", "a directory") from None
            delete_beneath(parent, name)

    def _open_parent(self, path: Parts) -> int:
        """Descriptor of an entry's directory, created if necessary; valid until the next call."""
        if self._parent is not None and self._parent[0] == path:
            return self._parent[1]
        self._close_parent()
        descriptor = self._open_directory(path)
        try:
            require_ordinary(descriptor, self._full(path))
        except BaseException:
            os.close(descriptor)
            raise
        self._parent = path, descriptor
        return descriptor

    def _open_directory(self, path: Parts) -> int:
        try:
            return open_in_root(self._root, self._full(path), _DIRECTORY)
        except FileNotFoundError:
            if not path:
                raise NotFound(f"no such file or directory in the container: {shown(self._path)}") from None
        return self._make_directories(path)

    def _make_directories(self, path: Parts) -> int:
        """From the outermost one on; links on the way are followed."""
        above = open_in_root(self._root, self._full(()), _DIRECTORY)
        for length in range(1, len(path) + 1):
            self._meter.add_steps(1)
            try:
                inner = self._open_or_make(above, path[:length])
            finally:
                os.close(above)
            above = inner
        return above

    def _open_or_make(self, above: int, path: Parts) -> int:
        try:
            return open_in_root(self._root, self._full(path), _DIRECTORY)
        except FileNotFoundError:
            require_ordinary(above, self._full(path[:-1]))
        with suppress(FileExistsError):
            os.mkdir(path[-1], 0o755, dir_fd=above)
        return open_in_root(self._root, self._full(path), _DIRECTORY)

    def _full(self, path: Parts) -> str:
        return "/".join((self._path, *path)) or "/"

    def _close_parent(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None


def _capability(entry: TarEntry) -> tuple[bytes, ...]:
    value = entry.xattrs.get(b"security.capability")
    return () if value is None else (value,)


def _set_time(descriptor: int, time_ns: int) -> None:
    time_ns = max(-_LATEST_NS, min(time_ns, _LATEST_NS))
    os.utime(descriptor, ns=(time_ns, time_ns))


def _other_kind(path: Parts, desired: str, present: str) -> InvalidInput:
    return InvalidInput(f"entry {shown('/'.join(path))} is {desired}, but there is {present} of this name")
