"""The directory that a layer becomes: entries written one by one, none outside of it, as overlayfs wants them.

Whiteouts are character devices 0:0, opaque directories carry `trusted.overlay.opaque` (kernel: overlayfs.rst).
"""

import errno
import logging
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.images.kernel import open_directory_beneath
from agent.images.layer_paths import Parts, resolve
from shoal.errors import InvalidInput
from shoal.trees import delete_trees

_log = logging.getLogger(__name__)
_OPAQUE_XATTR = "trusted.overlay.opaque"


@dataclass(frozen=True)
class Ownership:
    """What an entry has beside its content; `mtime_ns` since 1970, xattrs as they are to be set."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: Mapping[str, bytes]


class LayerTree:
    """Writes below one directory that nobody else writes to: `finish` after the last entry, `close` in any case."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._links: dict[Parts, str] = {}
        self._hidden: set[Parts] = set()
        self._directory_times: dict[Parts, int] = {}
        self._parent: tuple[Parts, int] = ((), os.dup(root_fd))

    def close(self) -> None:
        """Give back the descriptors held."""
        os.close(self._parent[1])

    def directory(self, path: Parts, owner: Ownership) -> None:
        """A directory, or the one that is there with this ownership."""
        if not path:
            self._own_open_directory(self._root_fd, path, owner)
            return
        place = self._place(path)
        fd = self._open_parent(place)
        hides_lower = place in self._hidden
        if not self._is_directory(fd, place):
            self._clear(fd, place)
            os.mkdir(place[-1], 0o700, dir_fd=fd)
        directory_fd = open_directory_beneath(fd, place[-1])
        try:
            if hides_lower:
                os.setxattr(directory_fd, _OPAQUE_XATTR, b"y")
            self._own_open_directory(directory_fd, place, owner)
        finally:
            os.close(directory_fd)

    def file(self, path: Parts, owner: Ownership, write: Callable[[int], None]) -> None:
        """A regular file; `write` gets its descriptor."""
        place, fd = self._make_room(path)
        file_fd = os.open(
            place[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd
        )
        try:
            write(file_fd)
            _own(file_fd, owner)
            os.utime(file_fd, ns=(owner.mtime_ns, owner.mtime_ns))
        finally:
            os.close(file_fd)

    def symlink(self, path: Parts, owner: Ownership, target: str) -> None:
        """A symbolic link; its target is kept as it is: it is followed in the container's root only."""
        place, fd = self._make_room(path)
        os.symlink(target, place[-1], dir_fd=fd)
        os.chown(place[-1], owner.uid, owner.gid, dir_fd=fd, follow_symlinks=False)
        os.utime(place[-1], ns=(owner.mtime_ns, owner.mtime_ns), dir_fd=fd, follow_symlinks=False)
        self._links[place] = target

    def hard_link(self, path: Parts, target: Parts) -> None:
        """Another name of an entry that this layer has already."""
        source = self._place(target)
        if source == self._place(path):
            return
        place, fd = self._make_room(path)
        source_fd = open_directory_beneath(self._root_fd, "/".join(source[:-1]))
        try:
            os.link(source[-1], place[-1], src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, PermissionError) as error:
            raise InvalidInput(
                f"layer entry {'/'.join(path)!a} links to {'/'.join(target)!a}, not a file in it"
            ) from error
        finally:
            os.close(source_fd)
        if source in self._links:
            self._links[place] = self._links[source]

    def node(self, path: Parts, owner: Ownership, kind: int, device: int) -> None:
        """A device or a fifo: `kind` is S_IFCHR, S_IFBLK or S_IFIFO."""
        place, fd = self._make_room(path)
        os.mknod(place[-1], kind | 0o600, device, dir_fd=fd)
        os.chown(place[-1], owner.uid, owner.gid, dir_fd=fd, follow_symlinks=False)
        os.chmod(place[-1], owner.mode, dir_fd=fd)
        os.utime(place[-1], ns=(owner.mtime_ns, owner.mtime_ns), dir_fd=fd, follow_symlinks=False)

    def whiteout(self, path: Parts) -> None:
        """Hide a name of the lower layers; what this layer itself has under that name stays (layer.md)."""
        place = self._place(path)
        fd = self._open_parent(place)
        if self._is_directory(fd, place):
            self.opaque(place)
        elif not _exists(fd, place[-1]):
            os.mknod(place[-1], stat.S_IFCHR, 0, dir_fd=fd)
            self._hidden.add(place)

    def opaque(self, path: Parts) -> None:
        """Hide all that lower layers have in a directory."""
        fd = os.dup(self._open_directory(resolve(path, self._links)))
        try:
            os.setxattr(fd, _OPAQUE_XATTR, b"y")
        finally:
            os.close(fd)

    def finish(self) -> None:
        """Times of directories: set last, for each new entry moves its directory's."""
        for path, mtime_ns in sorted(self._directory_times.items(), reverse=True):
            with suppress(FileNotFoundError, NotADirectoryError):  # replaced by a later entry
                fd = open_directory_beneath(self._root_fd, "/".join(path))
                try:
                    os.utime(fd, ns=(mtime_ns, mtime_ns))
                finally:
                    os.close(fd)

    def _place(self, path: Parts) -> Parts:
        """The path with links in its parents followed: an entry itself is never followed."""
        if not path:
            raise InvalidInput("a layer entry other than a directory is named like the layer's root")
        return (*resolve(path[:-1], self._links), path[-1])

    def _open_parent(self, place: Parts) -> int:
        return self._open_directory(place[:-1])

    def _open_directory(self, parts: Parts) -> int:
        """Descriptor of a directory without links on its path, made if need be; good until the next call."""
        if self._parent[0] != parts:
            try:
                fd = open_directory_beneath(self._root_fd, "/".join(parts))
            except FileNotFoundError:
                fd = self._make_directories(parts)
            except NotADirectoryError as error:
                raise InvalidInput(f"layer entry {'/'.join(parts)!a} is a file where a directory is needed") from error
            os.close(self._parent[1])
            self._parent = (parts, fd)
        return self._parent[1]

    def _make_directories(self, parts: Parts) -> int:
        """Parents that the layer does not name: root's, mode 0755."""
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=self._root_fd)
                self._directory_times.setdefault(parts[:depth], 0)
        return open_directory_beneath(self._root_fd, "/".join(parts))

    def _make_room(self, path: Parts) -> tuple[Parts, int]:
        place = self._place(path)
        fd = self._open_parent(place)
        self._clear(fd, place)
        return place, fd

    def _clear(self, fd: int, place: Parts) -> None:
        """A later entry of the same name replaces the earlier one."""
        self._hidden.discard(place)
        self._links.pop(place, None)
        try:
            os.unlink(place[-1], dir_fd=fd)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            delete_trees(Path(f"/proc/{os.getpid()}/fd/{fd}", place[-1]))
            self._forget_below(place)

    def _forget_below(self, place: Parts) -> None:
        depth = len(place)
        self._links = {path: target for path, target in self._links.items() if path[:depth] != place}
        self._hidden = {path for path in self._hidden if path[:depth] != place}
        self._directory_times = {path: at for path, at in self._directory_times.items() if path[:depth] != place}

    def _is_directory(self, fd: int, place: Parts) -> bool:
        try:
            return stat.S_ISDIR(os.stat(place[-1], dir_fd=fd, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False

    def _own_open_directory(self, fd: int, path: Parts, owner: Ownership) -> None:
        _own(fd, owner)
        self._directory_times[path] = owner.mtime_ns


def _exists(fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _own(fd: int, owner: Ownership) -> None:
    """In this order: a change of owner clears setuid bits and file capabilities."""
    os.fchown(fd, owner.uid, owner.gid)
    os.fchmod(fd, owner.mode)
    for name, value in owner.xattrs.items():
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP or not name.startswith("user."):
                raise
            _log.debug("the disk of the images takes no attribute %s", name)
