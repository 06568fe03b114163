"""Unpacks a layer's blob into a directory for overlayfs. Blocking: it runs in a process of its own.

Entries come from `tar_reader`, go through `layer_paths`, and are written by `layer_tree`.
"""

import errno
import os
import stat
from io import BufferedIOBase

from agent.images.disk_guard import DiskGuard
from agent.images.layers.layer_paths import EntryKind, Parts, hidden_name, kind_of, link_target, path_parts, quoted
from agent.images.layers.layer_stream import LayerStream
from agent.images.layers.layer_tree import EntryMetadata, LayerTree
from agent.images.layers.xattrs import allowed_attributes
from shoal.errors import InvalidInput
from shoal.tar import tar_header
from shoal.tar.budget import BudgetMeter, LayerBudget
from shoal.tar.tar_header import CONTIGUOUS, OLD_REGULAR, REGULAR
from shoal.tar.tar_reader import TarEntry, TarReader

_LAYER_ERRORS = frozenset(
    (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ELOOP,
        errno.EXDEV,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EMLINK,
        errno.EFBIG,
    )
)
"""Errors that the kernel reports for contradictory entries in a directory that nothing else uses."""

_NODES = {
    tar_header.CHARACTER: stat.S_IFCHR,
    tar_header.BLOCK_DEVICE: stat.S_IFBLK,
    tar_header.FIFO: stat.S_IFIFO,
}
_MAX_MAJOR, _MAX_MINOR = (1 << 12) - 1, (1 << 20) - 1
_FARTHEST_TIME_NS = (1 << 33) * 1_000_000_000


def extract_layer(
    blob: BufferedIOBase, root_fd: int, discarded_fd: int, *, diff_id: str, budget: LayerBudget, disk: DiskGuard
) -> None:
    """Fill an empty directory with the entries of a layer.

    Args:
        discarded_fd: of a directory for entries that later ones of the same layer replace.
        diff_id: digest that the uncompressed tar must have.
    Raises:
        InvalidInput: the layer is corrupt, hostile, or does not match `diff_id`.
        Exhausted: the disk is full. OSError: the disk fails.
        After an error the directory contains a part of the layer; the caller removes it.
    """
    os.fchmod(root_fd, 0o755)
    stream, meter = LayerStream(blob, disk), BudgetMeter(budget)
    reader, tree = TarReader(stream.read, meter), LayerTree(root_fd, discarded_fd, meter)
    try:
        for entry in reader.entries():
            disk.add_entry()
            _write_checked(tree, reader, entry, disk)
    finally:
        tree.close()
    stream.drain(meter)
    if stream.digest != diff_id:
        raise InvalidInput(f"layer digest mismatch: got {stream.digest}, the image config has {diff_id}")


def _write_checked(tree: LayerTree, reader: TarReader, entry: TarEntry, disk: DiskGuard) -> None:
    name = os.fsdecode(entry.header.name)
    try:
        _write_entry(tree, reader, entry, name, disk)
    except OSError as error:
        if error.errno not in _LAYER_ERRORS:
            raise
        raise InvalidInput(f"layer entry {quoted(name)} conflicts with earlier entries: {error.strerror}") from error


def _write_entry(tree: LayerTree, reader: TarReader, entry: TarEntry, name: str, disk: DiskGuard) -> None:
    path = path_parts(name)
    kind = kind_of(path[-1]) if path else EntryKind.REGULAR
    if kind == EntryKind.REGULAR:
        _write_regular_entry(tree, reader, entry, path, disk)
    elif kind == EntryKind.OPAQUE:
        tree.opaque(path[:-1])
    elif kind == EntryKind.WHITEOUT:
        tree.whiteout((*path[:-1], hidden_name(path[-1])))


def _write_regular_entry(tree: LayerTree, reader: TarReader, entry: TarEntry, path: Parts, disk: DiskGuard) -> None:
    header, name = entry.header, "/".join(path)
    metadata = _entry_metadata(entry, name)
    if entry.sparse:
        raise InvalidInput(
            f"layer entry {quoted(name)} is a sparse file, which is not supported; push the image without sparse files"
        )
    if header.kind in (REGULAR, OLD_REGULAR, CONTIGUOUS):
        disk.require_space(header.size)
        tree.file(path, metadata, lambda fd: _copy(reader, fd))
    elif header.kind == tar_header.DIRECTORY:
        tree.directory(path, metadata)
    elif header.kind == tar_header.SYMLINK:
        tree.symlink(path, metadata, link_target(name, os.fsdecode(header.link)))
    elif header.kind == tar_header.HARD_LINK:
        tree.hard_link(path, path_parts(os.fsdecode(header.link)))
    elif header.kind in _NODES:
        tree.node(path, metadata, _NODES[header.kind], _device(entry, name))
    else:
        raise InvalidInput(f"layer entry {quoted(name)} has unknown type {header.kind!r}")


def _device(entry: TarEntry, name: str) -> int:
    major, minor = entry.header.device
    if not 0 <= major <= _MAX_MAJOR or not 0 <= minor <= _MAX_MINOR:
        raise InvalidInput(f"layer entry {quoted(name)} has an invalid device number {major}:{minor}")
    return os.makedev(major, minor)


def _entry_metadata(entry: TarEntry, name: str) -> EntryMetadata:
    header = entry.header
    if not 0 <= header.uid < 2**32 - 1 or not 0 <= header.gid < 2**32 - 1:
        raise InvalidInput(f"layer entry {quoted(name)} has an invalid owner {header.uid}:{header.gid}")
    mtime_ns = max(-_FARTHEST_TIME_NS, min(header.mtime_ns, _FARTHEST_TIME_NS))
    return EntryMetadata(header.mode & 0o7777, header.uid, header.gid, mtime_ns, allowed_attributes(entry.xattrs))


def _copy(reader: TarReader, fd: int) -> None:
    for piece in reader.content():
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]
