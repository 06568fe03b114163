"""Writes a file tree received from another node, which is not trusted.

The input can only create files below one directory: names have one component, directories are entered by descriptor and
never through a link, no devices are created, and only files that were just created are opened.
"""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from agent.safe_paths.descent import Descent
from agent.safe_paths.disk_flush import FileFlusher
from agent.volume_moves.file_metadata import apply_to_entry, apply_to_open, validate
from agent.volume_moves.tree_size import available_bytes
from agent.volume_moves.tree_walk import is_movable
from shoal.api.v1.volume_data_pb2 import TreeContent, TreeEntry, TreeItem, TreeItems, TreeMetadata
from shoal.errors import Exhausted, InvalidInput

T = TypeVar("T")

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_NAME, _MAX_LINK = 255, 4095
_CHECK_BYTES, _CHECK_ITEMS = 64 << 20, 10_000
"""Interval of disk space checks."""


class TreeWriter:
    """Writes messages in their order.

    Args:
        top: descriptor of the directory that becomes the tree's top; it stays the caller's, as `links` does.
        links: of a directory on the same file system, for hard links to files with several names meanwhile.
        done: entries up to this number are on disk.
        max_items: maximum number of entries and directories.
    """

    def __init__(self, *, top: int, links: int, done: int, max_items: int) -> None:
        self._top = top
        self._links = links
        self._descent = Descent(top)
        self._depth = 0
        self._number = done
        self._items_left = max_items
        self._file: _File | None = None
        self._flush = FileFlusher()
        self._unchecked_bytes = self._unchecked_items = 0
        self.bytes = 0
        self.complete = False

    def close(self) -> None:
        """Close all descriptors."""
        if self._file is not None:
            os.close(self._file.descriptor)
            self._file = None
        self._flush.close()
        self._descent.close()

    def write(self, message: TreeItems) -> None:
        """Write a message's items.

        Raises:
            InvalidInput: protocol error. Exhausted: the disk is full, or there are more entries than announced.
            Refused: the file system does not support an attribute. OSError: the disk or the kernel failed.
        """
        for item in message.items:
            if self.complete:
                raise InvalidInput("protocol error: the source node sent data after the end of the volume")
            self._write_item(item)
        if self._unchecked_bytes >= _CHECK_BYTES or self._unchecked_items >= _CHECK_ITEMS:
            self._unchecked_bytes = self._unchecked_items = 0
            if available_bytes(self._top) < 0:
                raise Exhausted("the file system of volumes is full")

    def checkpoint(self) -> int:
        """Flush everything to disk; returns the number of the last complete entry. Raises OSError."""
        self._flush.finish(self._top)
        return self._number - (1 if self._file is not None else 0)

    def _write_item(self, item: TreeItem) -> None:
        kind = item.WhichOneof("kind")
        if kind == "content":
            self._write_content(item.content)
            return
        self._end_file()
        self._items_left -= kind != "leave"
        self._unchecked_items += 1
        if self._items_left < 0:
            raise Exhausted("the source node sent more files than announced")
        match kind:
            case "enter":
                self._enter(_name(item.enter))
            case "leave":
                self._leave(item.leave)
            case "entry":
                self._start_entry(item.entry)
            case _:
                raise InvalidInput("protocol error: unknown item")

    def _enter(self, name: str) -> None:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self._descent.descriptor)
        self._descent.enter(name)
        self._depth += 1

    def _leave(self, metadata: TreeMetadata) -> None:
        apply_to_open(self._descent.descriptor, metadata, stat.S_IFDIR)
        if self._depth:
            self._descent.leave()
            self._depth -= 1
        else:
            self.complete = True

    def _start_entry(self, entry: TreeEntry) -> None:
        if entry.number != self._number + 1:
            raise InvalidInput("protocol error: the source node sent files out of order")
        name, into = _name(entry.name), self._descent.descriptor
        if entry.hard_link_to:
            _recreate(lambda: self._link(entry.hard_link_to, into, name), into, name)
        elif stat.S_ISREG(entry.metadata.mode):
            validate(entry.metadata)
            if entry.size < 0:
                raise InvalidInput("protocol error: the source node sent a negative file size")
            descriptor = _recreate(lambda: os.open(name, _NEW_FILE, 0o600, dir_fd=into), into, name)
            self._file = _File(descriptor, entry, name)
        else:
            _recreate(lambda: _make_special(entry, into, name), into, name)
            apply_to_entry(into, name, entry.metadata)
            self._keep_link(entry, name)
        self._number += 1

    def _write_content(self, content: TreeContent) -> None:
        if self._file is None:
            raise InvalidInput("protocol error: the source node sent content without a file")
        data, offset = memoryview(content.data), content.offset
        if offset < 0 or offset + len(data) > self._file.entry.size:
            raise InvalidInput("protocol error: the source node sent more content than the file has")
        self.bytes += len(data)
        self._unchecked_bytes += len(data)
        while data:
            written = os.pwrite(self._file.descriptor, data, offset)
            data, offset = data[written:], offset + written

    def _end_file(self) -> None:
        file = self._file
        if file is None:
            return
        os.ftruncate(file.descriptor, file.entry.size)
        apply_to_open(file.descriptor, file.entry.metadata, stat.S_IFREG)
        self._keep_link(file.entry, file.name)
        self._file = None
        if file.entry.size:
            self._flush.add(file.descriptor)
        else:
            os.close(file.descriptor)

    def _keep_link(self, entry: TreeEntry, name: str) -> None:
        if entry.has_more_links:
            link, into = str(entry.number), self._descent.descriptor
            _recreate(
                lambda: os.link(name, link, src_dir_fd=into, dst_dir_fd=self._links, follow_symlinks=False),
                self._links,
                link,
            )

    def _link(self, number: int, into: int, name: str) -> None:
        try:
            os.link(str(number), name, src_dir_fd=self._links, dst_dir_fd=into, follow_symlinks=False)
        except FileNotFoundError:
            raise InvalidInput("protocol error: the source node sent a hard link to an unknown file") from None


class _File:
    """A regular file that is being written."""

    def __init__(self, descriptor: int, entry: TreeEntry, name: str) -> None:
        self.descriptor = descriptor
        self.entry = entry
        self.name = name


def _name(sent: bytes) -> str:
    if sent in (b"", b".", b"..") or b"/" in sent or b"\0" in sent or len(sent) > _MAX_NAME:
        raise InvalidInput(f"protocol error: the source node sent invalid file name {sent[:_MAX_NAME]!r}")
    return os.fsdecode(sent)


def _recreate(make: Callable[[], T], into: int, name: str) -> T:
    """Create an entry, replacing what an earlier attempt left."""
    try:
        return make()
    except FileExistsError:
        os.unlink(name, dir_fd=into)
        return make()


def _make_special(entry: TreeEntry, into: int, name: str) -> None:
    mode = entry.metadata.mode
    validate(entry.metadata)
    if not is_movable(mode, 0):
        raise InvalidInput("protocol error: the source node sent an unsupported file type")
    if not stat.S_ISLNK(mode):
        os.mknod(name, stat.S_IFMT(mode) | 0o600, 0, dir_fd=into)
        return
    if not 0 < len(entry.link_target) <= _MAX_LINK or b"\0" in entry.link_target:
        raise InvalidInput("protocol error: the source node sent an invalid symbolic link")
    os.symlink(os.fsdecode(entry.link_target), name, dir_fd=into)
