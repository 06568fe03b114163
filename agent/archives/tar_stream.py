"""Writes files of a container as a tar archive (POSIX.1-2001 pax), as a stream.

The container may change its files meanwhile: what is archived may then be from before or after the change, but the
archive is well formed, and nothing from outside of the container is in it. Links are not followed, devices and FIFOs
not opened.
"""

import errno
import os
import stat
import tarfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

from agent.archives.lookup import FoundFile, kernel_file_system, shown
from agent.safe_paths.descent import Descent
from shoal.errors import InvalidInput
from shoal.tar.archive_chunks import archive_chunks
from shoal.tar.tar_entries import KINDS, entry_content, entry_header
from shoal.tar.tar_header import BLOCK, DIRECTORY, HARD_LINK, REGULAR, SYMLINK
from shoal.tar.ustar_header import time_header, ustar_header

WHITEOUT_PREFIX, OPAQUE_MARKER = ".wh.", ".wh..wh..opq"
"""Of names in layers: a name of the layers below is gone; all names of a directory are."""

OPAQUE = "trusted.overlay.opaque"
MAX_HARD_LINKS = 1_000_000
"""Files with several names that are remembered; a further one is archived as a file of its own."""

MAX_PENDING = 1_000_000
"""Names of directories that are held while others are archived."""

_PATH_ONLY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KEPT_ATTRIBUTES = ("security.capability",)
_FAST = (REGULAR, DIRECTORY, HARD_LINK, SYMLINK)
_SMALL = 64 << 10
_PADDING = bytes(BLOCK)
_GONE = (errno.ENOENT, errno.ESTALE, errno.ENOTDIR, errno.ELOOP)


def archive(found: FoundFile) -> Generator[bytes]:
    """The archive of a file or a directory with all below it, in chunks; its names begin with the file's own.

    Raises:
        OSError: the disk failed. InvalidInput: too many directories in one directory.
    """
    return archive_chunks(
        _Archive(one_file_system=False).of(found.descriptor, "." if found.name == "/" else found.name)
    )


def archive_root(root: int) -> Generator[bytes]:
    """The archive of a container's root file system, without what is mounted in it. Raises as `archive` does."""
    return archive_chunks(_Archive(one_file_system=True).of(root, ""))


def archive_layer(upper: int, *, at_rest: bool = False) -> Generator[bytes]:
    """A layer of an OCI image (layer.md), uncompressed: what an upper directory changes of the layers below.

    Args:
        at_rest: nothing writes there, so that files are opened by their names.
    Raises:
        As `archive` does; InvalidInput also for a name that has a meaning of its own in a layer.
    """
    return archive_chunks(_Archive(one_file_system=True, is_layer=True, at_rest=at_rest).of(upper, ""))


@dataclass
class _Level:
    name: str
    pending: list[str] = field(default_factory=list)


class _Archive:
    def __init__(self, *, one_file_system: bool, is_layer: bool = False, at_rest: bool = False) -> None:
        self._one_file_system = one_file_system
        self._is_layer = is_layer
        self._at_rest = at_rest
        self._links: dict[tuple[int, int], str] = {}
        self._pending = 0
        self._device = 0

    def of(self, descriptor: int, name: str) -> Iterator[bytes]:
        """A file or a directory by its O_PATH descriptor; an empty name leaves the directory itself out."""
        status = os.fstat(descriptor)
        if not stat.S_ISDIR(status.st_mode):
            yield from self._file(descriptor, status, name)
            return
        top = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._device = -1 if kernel_file_system(top) else os.fstat(top).st_dev
            yield from self._tree(top, name)
        finally:
            os.close(top)

    def _tree(self, top: int, name: str) -> Iterator[bytes]:
        descent = Descent(top)
        try:
            yield from self._directory(descent, os.fstat(top), levels := [_Level(name)])
            while levels:
                if levels[-1].pending:
                    yield from self._enter(descent, levels, levels[-1].pending.pop())
                else:
                    levels.pop()
                    if levels:
                        descent.leave()
        finally:
            descent.close()

    def _enter(self, descent: Descent, levels: list[_Level], inner: str) -> Iterator[bytes]:
        self._pending -= 1
        try:
            status = descent.enter(inner)
        except OSError as error:
            if error.errno in _GONE:  # replaced meanwhile
                return
            raise
        levels.append(_Level(_join(levels[-1].name, inner)))
        yield from self._directory(descent, status, levels)

    def _directory(self, descent: Descent, status: os.stat_result, levels: list[_Level]) -> Iterator[bytes]:
        """The directory that was just entered, and its entries that are no directories."""
        level = levels[-1]
        if level.name:
            yield _header(descent.descriptor, status, level.name + "/")
            if self._is_layer and is_opaque(descent.descriptor):
                yield _marker(_join(level.name, OPAQUE_MARKER), status)
        elsewhere = status.st_dev != self._device
        if elsewhere and (self._one_file_system or kernel_file_system(descent.descriptor)):
            return
        with os.scandir(descent.descriptor) as entries:
            names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        self._check_names((name for name, _ in names), level.name)
        level.pending = [name for name, is_directory in reversed(names) if is_directory]
        self._pending += len(level.pending)
        if self._pending > MAX_PENDING:
            raise InvalidInput(f"too many directories in one directory; the maximum is {MAX_PENDING:,}")
        for name, is_directory in names:
            if is_directory:
                continue
            full = _join(level.name, name)
            if self._at_rest and (whole := self._small_file(descent.descriptor, name, full)):
                yield whole
            else:
                yield from self._entry(descent.descriptor, name, full)

    def _check_names(self, names: Iterable[str], directory: str) -> None:
        """A layer cannot say that there is a file of such a name."""
        for name in names if self._is_layer else ():
            if name.startswith(WHITEOUT_PREFIX):
                raise InvalidInput(f"{shown(f'/{directory}/{name}')}: a layer cannot have names that begin with .wh.")

    def _small_file(self, directory: int, name: str, full: str) -> bytes:
        """The whole entry of a file at rest; empty: it is large, or no file with one name."""
        status = os.lstat(name, dir_fd=directory)
        size = status.st_size
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or size > _SMALL or status.st_dev != self._device:
            return b""
        opened = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=directory)
        try:
            content = os.read(opened, size) if size else b""
            return b"" if len(content) != size else _header(opened, status, full) + content + _PADDING[: -size % BLOCK]
        finally:
            os.close(opened)

    def _entry(self, directory: int, name: str, full: str) -> Iterator[bytes]:
        try:
            descriptor = os.open(name, _PATH_ONLY, dir_fd=directory)
        except OSError as error:
            if error.errno in _GONE:
                return
            raise
        try:
            yield from self._file(descriptor, os.fstat(descriptor), full)
        finally:
            os.close(descriptor)

    def _file(self, descriptor: int, status: os.stat_result, name: str) -> Iterator[bytes]:
        if stat.S_IFMT(status.st_mode) not in KINDS or stat.S_ISDIR(status.st_mode):
            return  # a socket, or replaced by a directory meanwhile
        if self._is_layer and stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            directory, _, base = name.rpartition("/")
            yield _marker(_join(directory, WHITEOUT_PREFIX + base), status)
            return
        key = status.st_dev, status.st_ino
        if status.st_nlink > 1 and (first := self._links.get(key)) is not None:
            yield _header(descriptor, status, name, hard_link_to=first)
            return
        if status.st_nlink > 1 and len(self._links) < MAX_HARD_LINKS:
            self._links[key] = name
        if not stat.S_ISREG(status.st_mode):
            yield _header(descriptor, status, name)
        elif status.st_dev == self._device or not kernel_file_system(descriptor):
            yield from _regular(descriptor, name)


def _regular(descriptor: int, name: str) -> Iterator[bytes]:
    opened = os.open(f"/proc/self/fd/{descriptor}", _READ)
    try:
        status = os.fstat(opened)
        yield _header(opened, status, name)
        yield from entry_content(opened, status.st_size)
    finally:
        os.close(opened)


def _header(descriptor: int, status: os.stat_result, name: str, *, hard_link_to: str = "") -> bytes:
    target = os.readlink("", dir_fd=descriptor) if stat.S_ISLNK(status.st_mode) else ""
    has_attributes = not hard_link_to and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
    attributes = _attributes(descriptor) if has_attributes else {}
    if not attributes and (short := _short_header(status, name, target, hard_link_to)) is not None:
        return short
    return entry_header(name, status, link_target=target, hard_link_to=hard_link_to, attributes=attributes)


def _short_header(status: os.stat_result, name: str, target: str, hard_link_to: str) -> bytes | None:
    """As most files have it; None: it does not fit."""
    kind = HARD_LINK if hard_link_to else KINDS[stat.S_IFMT(status.st_mode)]
    if kind not in _FAST:
        return None
    seconds, fraction = divmod(status.st_mtime_ns, 1_000_000_000)
    header = ustar_header(
        os.fsencode(name),
        kind,
        mode=stat.S_IMODE(status.st_mode),
        size=status.st_size if kind == REGULAR else 0,
        mtime=seconds,
        uid=status.st_uid,
        gid=status.st_gid,
        link=os.fsencode(hard_link_to or target),
    )
    return time_header(status.st_mtime_ns) + header if fraction and header is not None else header


def _attributes(descriptor: int) -> dict[str, str]:
    """As records of a pax header: users' attributes and file capabilities."""
    try:
        present = os.listxattr(descriptor)
        if not present:
            return {}
        names = [name for name in present if name.startswith("user.") or name in _KEPT_ATTRIBUTES]
        found = {f"SCHILY.xattr.{name}": os.getxattr(descriptor, name) for name in names}
    except OSError:
        return {}  # the file system has none, or one disappeared
    return {name: value.decode("utf-8", "surrogateescape") for name, value in found.items()}


def _marker(name: str, status: os.stat_result) -> bytes:
    """An empty file that says something about others."""
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = 0o600, status.st_mtime_ns // 1_000_000_000
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def is_opaque(directory: int) -> bool:
    """Whether a directory of an upper directory hides what the layers below have in it (kernel: overlayfs.rst)."""
    try:
        return os.getxattr(directory, OPAQUE) == b"y"
    except OSError:
        return False


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
