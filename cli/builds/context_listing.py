"""A context that is sent as a list of what is in it, and then of that only what its node lacks."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.builds.context_walk import ContextFile, ContextWalk
from cli.builds.known_digests import KnownDigests
from shoal.api.v1.builds_pb2 import BuildInput, ContextContent, ContextEntry
from shoal.build_contexts.context_messages import DATA_BYTES, ContextMessages
from shoal.errors import Unavailable


class ListedDirectory:
    """One directory. For one build.

    Args:
        name: of a named context, else empty.
        key: of contexts that are compared.
    Raises:
        InvalidInput: a pattern is none.
    """

    def __init__(self, name: str, key: str, directory: Path, patterns: Sequence[str], known: KnownDigests) -> None:
        self._messages = ContextMessages(name, key)
        self._walk = ContextWalk(directory, patterns)
        self._known = known
        self._files: list[ContextFile] = []
        self.sent_bytes = 0

    def listing(self) -> Iterator[BuildInput]:
        """The list. Raises as `ContextWalk.files`."""
        for found in self._walk.files():
            self._files.append(found)
            yield from self._messages.add_entry(self._entry(found))
        yield self._messages.end_entries()

    def _entry(self, found: ContextFile) -> ContextEntry:
        status, is_link = found.status, bool(found.hard_link_to)
        entry = ContextEntry(
            path=os.fsencode(found.name), mode=status.st_mode, mtime=int(status.st_mtime), hard_link=is_link
        )
        if is_link:
            entry.link = os.fsencode(found.hard_link_to)
        elif target := found.link_target:
            entry.link = os.fsencode(target)
        elif stat.S_ISREG(status.st_mode):
            entry.size, entry.digest = status.st_size, self._known.find(found.name, status)
        return entry

    def digests(self, numbers: Sequence[int]) -> Iterator[BuildInput]:
        """Those that are requested; the files are read. Raises OSError."""
        return self._messages.digests(numbers, lambda number: self._digest(self._file(number)))

    def _digest(self, found: ContextFile) -> bytes:
        content = hashlib.sha256()
        for _ in self._read(found, content):
            pass
        return content.digest()

    def _read(self, found: ContextFile, content: "hashlib._Hash") -> Iterator[tuple[bytes, bool]]:
        """The content of a file, in pieces, and whether a piece is the last one; remembered by its digest."""
        descriptor = found.open()
        try:
            status = os.fstat(descriptor)
            left = status.st_size
            while True:
                piece = os.read(descriptor, DATA_BYTES)
                content.update(piece)
                left -= len(piece)
                yield piece, not piece or not left
                if not piece or not left:
                    break
            self._known.add(found.name, status, content.digest())
        finally:
            os.close(descriptor)

    def contents(self, numbers: Sequence[int]) -> Iterator[BuildInput]:
        """Contents that are requested; the last message says so. Raises OSError."""
        for number in numbers:
            for piece, is_last in self._read(self._file(number), hashlib.sha256()):
                self.sent_bytes += len(piece)
                yield from self._messages.add_content(ContextContent(number=number, data=piece, complete=is_last))
        yield self._messages.end_contents()

    def _file(self, number: int) -> ContextFile:
        if number >= len(self._files):
            raise Unavailable("the node requested a file that is not in the context")
        return self._files[number]
