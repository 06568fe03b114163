"""Digest of a file tree: names, kinds, owners, modes, modification times, attributes, links and contents."""

import hashlib
import os
import stat
from collections.abc import Callable

from agent.volume_moves.content_digest import Digest, update_digest
from agent.volume_moves.file_metadata import read_metadata
from agent.volume_moves.tree_walk import EnterDirectory, FileEntry, LeaveDirectory, walk_tree
from shoal.api.v1.volume_data_pb2 import TreeMetadata


def tree_digest(top: int, on_bytes: Callable[[int], None]) -> bytes:
    """SHA-256; equal for two trees exactly if one is a complete copy of the other.

    Access times and positions of holes are ignored.

    Args:
        top: descriptor of a directory; it stays the caller's.
        on_bytes: called with the number of bytes read; an exception aborts the walk.
    Raises:
        Refused, OSError: see `walk_tree`.
    """
    digest = hashlib.sha256()
    for step in walk_tree(top):
        match step:
            case EnterDirectory():
                _feed(digest, b"enter", step.name)
            case LeaveDirectory():
                _feed(digest, b"leave", *_encoded(read_metadata(step.descriptor, step.status)))
            case FileEntry():
                _feed_entry(digest, step, on_bytes)
    return digest.digest()


def _feed_entry(digest: Digest, step: FileEntry, on_bytes: Callable[[int], None]) -> None:
    status, path = step.status, f"/proc/self/fd/{step.descriptor}"
    if step.hard_link_to:
        _feed(digest, b"same", step.name, str(step.hard_link_to).encode())
        return
    if not stat.S_ISREG(status.st_mode):
        link = os.fsencode(os.readlink("", dir_fd=step.descriptor)) if stat.S_ISLNK(status.st_mode) else b""
        _feed(digest, b"entry", step.name, link, *_encoded(read_metadata(path, status)))
        return
    readable = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _feed(digest, b"file", step.name, str(status.st_size).encode(), *_encoded(read_metadata(readable, status)))
        update_digest(digest, readable, status, on_bytes)
    finally:
        os.close(readable)


def _encoded(metadata: TreeMetadata) -> list[bytes]:
    parts = [f"{metadata.mode} {metadata.uid} {metadata.gid} {metadata.mtime_ns}".encode()]
    for attribute in metadata.attributes:
        parts += [attribute.name, attribute.value]
    return parts


def _feed(digest: Digest, *parts: bytes) -> None:
    digest.update(len(parts).to_bytes(4, "little"))
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
