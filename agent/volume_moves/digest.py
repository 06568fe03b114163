"""One digest over a tree: names, kinds, owners, modes, times of change, attributes, links and contents."""

import hashlib
import os
import stat
from collections.abc import Callable

from agent.volume_moves.contents import Hash, feed_content
from agent.volume_moves.metadata import read_metadata
from agent.volume_moves.tree import Enter, Entry, Leave, walk
from shoal.api.v1.volume_data_pb2 import TreeMetadata


def tree_digest(top: int, note: Callable[[int], None]) -> bytes:
    """SHA-256; the same for two trees exactly when one is a complete copy of the other.

    Times of access and places of holes do not count.

    Args:
        top: descriptor of a directory; it stays the caller's.
        note: called with numbers of bytes that were read; what it raises ends the walk.
    Raises:
        Refused, OSError: see `walk`.
    """
    digest = hashlib.sha256()
    for step in walk(top):
        match step:
            case Enter():
                _feed(digest, b"enter", step.name)
            case Leave():
                _feed(digest, b"leave", *_told(read_metadata(step.descriptor, step.status)))
            case Entry():
                _feed_entry(digest, step, note)
    return digest.digest()


def _feed_entry(digest: Hash, step: Entry, note: Callable[[int], None]) -> None:
    status, path = step.status, f"/proc/self/fd/{step.descriptor}"
    if step.same_as:
        _feed(digest, b"same", step.name, str(step.same_as).encode())
        return
    if not stat.S_ISREG(status.st_mode):
        link = os.fsencode(os.readlink("", dir_fd=step.descriptor)) if stat.S_ISLNK(status.st_mode) else b""
        _feed(digest, b"entry", step.name, link, *_told(read_metadata(path, status)))
        return
    readable = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _feed(digest, b"file", step.name, str(status.st_size).encode(), *_told(read_metadata(readable, status)))
        feed_content(digest, readable, status, note)
    finally:
        os.close(readable)


def _told(metadata: TreeMetadata) -> list[bytes]:
    parts = [f"{metadata.mode} {metadata.uid} {metadata.gid} {metadata.mtime_ns}".encode()]
    for attribute in metadata.attributes:
        parts += [attribute.name, attribute.value]
    return parts


def _feed(digest: Hash, *parts: bytes) -> None:
    digest.update(len(parts).to_bytes(4, "little"))
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
