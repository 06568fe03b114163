"""Encodes a file tree as messages for another node."""

import os
import stat
from collections.abc import Generator, Iterator

from agent.safe_paths.sparse_files import data_ranges
from agent.volume_moves.file_metadata import read_metadata
from agent.volume_moves.tree_walk import EnterDirectory, FileEntry, LeaveDirectory, TreeStep, walk_tree
from shoal.api.v1.volume_data_pb2 import TreeContent, TreeEntry, TreeItem, TreeItems

PIECE_BYTES = 1 << 20
_ITEM_BYTES = 128
"""Estimated size of an item without content."""


def tree_messages(top: int, after: int) -> Generator[TreeItems, None, None]:
    """The tree below a directory, about a megabyte at a time.

    Args:
        top: descriptor; it stays the caller's.
        after: entries up to this number are skipped.
    Raises:
        Refused, OSError: see `walk_tree`.
    """
    batch, size = TreeItems(), 0
    for item in _items(top, after):
        batch.items.append(item)
        size += len(item.content.data) + _ITEM_BYTES
        if size >= PIECE_BYTES:
            yield batch
            batch, size = TreeItems(), 0
    yield batch


def _items(top: int, after: int) -> Iterator[TreeItem]:
    for step in walk_tree(top):
        match step:
            case FileEntry():
                if step.number > after:
                    yield from _entry(step)
            case _:
                yield _directory(step)


def _directory(step: TreeStep) -> TreeItem:
    match step:
        case EnterDirectory():
            return TreeItem(enter=step.name)
        case LeaveDirectory():
            return TreeItem(leave=read_metadata(step.descriptor, step.status))
    raise AssertionError(step)


def _entry(step: FileEntry) -> Iterator[TreeItem]:
    status = step.status
    entry = TreeEntry(number=step.number, name=step.name, hard_link_to=step.hard_link_to)
    if step.hard_link_to:
        yield TreeItem(entry=entry)
        return
    entry.has_more_links = status.st_nlink > 1
    path = f"/proc/self/fd/{step.descriptor}"
    if not stat.S_ISREG(status.st_mode):
        if stat.S_ISLNK(status.st_mode):
            entry.link_target = os.fsencode(os.readlink("", dir_fd=step.descriptor))
        entry.metadata.CopyFrom(read_metadata(path, status))
        yield TreeItem(entry=entry)
        return
    readable = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        entry.metadata.CopyFrom(read_metadata(readable, status))
        entry.size = status.st_size
        yield TreeItem(entry=entry)
        for begin, end in data_ranges(readable, status):
            for offset in range(begin, end, PIECE_BYTES):
                data = os.pread(readable, min(PIECE_BYTES, end - offset), offset)
                yield TreeItem(content=TreeContent(offset=offset, data=data))
    finally:
        os.close(readable)
