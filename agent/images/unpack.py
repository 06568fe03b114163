"""A layer's blob to a directory for overlayfs. Blocking: runs in a thread."""

import errno
import os
import stat
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from agent.images.layer_paths import Bookkeeping, Opaque, Plain, Whiteout, kind_of, parts_of
from agent.images.layer_stream import LayerStream
from agent.images.layer_tree import LayerTree, Ownership
from shoal.errors import Exhausted, InvalidInput, Unavailable

_XATTR = "SCHILY.xattr."
_READ = 1 << 20
_STREAM_BUFFER = 64 << 10  # tarfile copies what is left of it at each header
_MAX_HEADER_BYTES = 1 << 20
_MAX_ENTRIES = 5_000_000
_CONTRADICTIONS = frozenset(
    (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ELOOP,
        errno.EXDEV,
        errno.ENAMETOOLONG,
        errno.EINVAL,
    )
)
"""What the kernel says of entries that contradict each other, in a directory that is ours alone."""

_BROKEN_TAR = (tarfile.TarError, ValueError, ArithmeticError, LookupError, RecursionError)
"""What tarfile raises at nonsense in headers: its own errors, and those of the conversions in it."""

_EXTENDED = frozenset({b"x", b"g", b"X", b"L", b"K"})


def unpack(blob: Path, directory: Path, *, diff_id: str, reserve_bytes: int, stop: threading.Event) -> None:
    """Fill an empty directory with the entries of a layer.

    Args:
        diff_id: digest that the uncompressed tar must have.
        reserve_bytes: what must stay free on the disk.
        stop: set from another thread to give up.
    Raises:
        InvalidInput: the layer is broken, hostile, or not what `diff_id` names.
        Exhausted: the disk is full. Unavailable: the disk fails, or told to stop.
        After an error the directory holds a part of the layer; it is the caller's to remove.
    """
    try:
        root_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fchmod(root_fd, 0o755)
            with blob.open("rb") as file:
                stream = LayerStream(file, directory_fd=root_fd, reserve_bytes=reserve_bytes, stop=stop)
                _unpack_stream(stream, root_fd)
        finally:
            os.close(root_fd)
    except _BROKEN_TAR as error:
        raise InvalidInput(f"the layer is not a tar archive: {error}") from error
    except OSError as error:
        raise disk_error(error, directory) from error
    if stream.digest != diff_id:
        raise InvalidInput(f"the layer unpacks to {stream.digest} where the image's configuration names {diff_id}")


def disk_error(error: OSError, path: Path) -> Exhausted | Unavailable:
    """What a failed write means for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted(f"the disk of the images is full at {path}; free some space and try again")
    return Unavailable(f"images cannot be written at {path}: {error}")


def _unpack_stream(stream: LayerStream, root_fd: int) -> None:
    tree = LayerTree(root_fd)
    try:
        with tarfile.open(
            fileobj=stream, mode="r|", bufsize=_STREAM_BUFFER, encoding="utf-8", tarinfo=_BoundedTarInfo
        ) as tar:  # type: ignore[call-overload]
            for entry in _entries(tar):
                _write_or_refuse(tree, tar, entry)
        tree.finish()
        stream.drain()
    finally:
        tree.close()


class _BoundedTarInfo(tarfile.TarInfo):
    """Refuses extended headers that would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0:
            raise InvalidInput("the layer has an entry of negative size")
        if found.type in _EXTENDED and found.size > _MAX_HEADER_BYTES:
            raise InvalidInput(f"the layer has an extended header of {found.size} bytes; {_MAX_HEADER_BYTES} are taken")
        return found


def _entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for _ in range(_MAX_ENTRIES):
        entry = tar.next()
        if entry is None:
            return
        yield entry
        tar.members.clear()  # type: ignore[attr-defined]  # it would keep every entry in memory
    raise InvalidInput(f"the layer has more than {_MAX_ENTRIES} entries")


def _write_or_refuse(tree: LayerTree, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
    try:
        _write_entry(tree, tar, entry)
    except OSError as error:
        if error.errno not in _CONTRADICTIONS:
            raise
        raise InvalidInput(f"layer entry {entry.name!a} does not fit what is before it: {error.strerror}") from error


def _write_entry(tree: LayerTree, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
    path = parts_of(entry.name)
    kind = kind_of(path[-1]) if path else Plain()
    match kind:
        case Opaque():
            tree.opaque(path[:-1])
        case Whiteout(name):
            tree.whiteout((*path[:-1], name))
        case Bookkeeping():
            pass
        case Plain():
            _write_plain(tree, tar, entry)


def _write_plain(tree: LayerTree, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
    path, owner = parts_of(entry.name), _ownership(entry)
    if entry.issparse():
        raise InvalidInput(f"layer entry {entry.name!a} is a sparse file, which layers do not have; push it plain")
    if entry.isdir():
        tree.directory(path, owner)
    elif entry.isreg():
        tree.file(path, owner, lambda fd: _copy(tar, entry, fd))
    elif entry.issym():
        tree.symlink(path, owner, _link_target(entry))
    elif entry.islnk():
        tree.hard_link(path, parts_of(entry.linkname))
    elif entry.ischr() or entry.isblk():
        kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
        tree.node(path, owner, kind, os.makedev(entry.devmajor, entry.devminor))
    elif entry.isfifo():
        tree.node(path, owner, stat.S_IFIFO, 0)
    else:
        raise InvalidInput(f"layer entry {entry.name!a} is of the unknown type {entry.type!r}")


def _link_target(entry: tarfile.TarInfo) -> str:
    if not entry.linkname or "\0" in entry.linkname or len(entry.linkname.encode(errors="surrogateescape")) > 4095:
        raise InvalidInput(f"layer entry {entry.name!a} is a symbolic link to nothing that can be named")
    return entry.linkname


def _ownership(entry: tarfile.TarInfo) -> Ownership:
    if not 0 <= entry.uid < 2**32 - 1 or not 0 <= entry.gid < 2**32 - 1:
        raise InvalidInput(f"layer entry {entry.name!a} has an owner that no system knows: {entry.uid}:{entry.gid}")
    seconds = max(-(2**33), min(float(entry.mtime), 2.0**33))
    return Ownership(entry.mode & 0o7777, entry.uid, entry.gid, int(seconds * 1e9), _xattrs(entry.pax_headers))


def _xattrs(headers: Mapping[str, str]) -> dict[str, bytes]:
    """Users' attributes and file capabilities; those of overlayfs itself would let a layer redirect others."""
    found = {
        key.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
        for key, value in headers.items()
        if key.startswith(_XATTR)
    }
    return {
        name: value
        for name, value in found.items()
        if name == "security.capability" or (name.startswith("user.") and not name.startswith("user.overlay."))
    }


def _copy(tar: tarfile.TarFile, entry: tarfile.TarInfo, fd: int) -> None:
    source = tar.extractfile(entry)
    assert source is not None
    while chunk := source.read(_READ):
        view = memoryview(chunk)
        while view:
            view = view[os.write(fd, view) :]
