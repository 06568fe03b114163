"""A context that is sent as a list of what is in it, and then of that only what its node lacks."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.builds.context_walk import ContextFile, ContextWalk
from cli.builds.known_digests import KnownDigests
from shoal.api.v1.builds_pb2 import (
    BuildInput,
    ContextContent,
    ContextContents,
    ContextDigests,
    ContextEntry,
    ContextListing,
)
from shoal.errors import Unavailable

ENTRIES_AT_ONCE = 2_000
LIST_BYTES = 512 << 10
DATA_BYTES = 256 << 10
DIGESTS_AT_ONCE = 10_000


class ListedDirectory:
    """One directory. For one build.

    Args:
        name: of a named context, else empty.
        key: of contexts that are compared.
    Raises:
        InvalidInput: a pattern is none.
    """

    def __init__(self, name: str, key: str, directory: Path, patterns: Sequence[str], known: KnownDigests) -> None:
        self._name = name
        self._key = key
        self._walk = ContextWalk(directory, patterns)
        self._known = known
        self._files: list[ContextFile] = []
        self.sent_bytes = 0

    def listing(self) -> Iterator[BuildInput]:
        """The list. Raises as `ContextWalk.files`."""
        entries: list[ContextEntry] = []
        size = 0
        for found in self._walk.files():
            self._files.append(found)
            entries.append(entry := self._entry(found))
            size += len(entry.path) + len(entry.link) + 64
            if len(entries) >= ENTRIES_AT_ONCE or size >= LIST_BYTES:
                yield BuildInput(listing=ContextListing(name=self._name, key=self._key, entries=entries))
                entries, size = [], 0
        yield BuildInput(listing=ContextListing(name=self._name, key=self._key, entries=entries, complete=True))

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
        for at in range(0, len(numbers) or 1, DIGESTS_AT_ONCE):
            part = numbers[at : at + DIGESTS_AT_ONCE]
            complete = at + DIGESTS_AT_ONCE >= len(numbers)
            digests = [self._digest(self._file(each)) for each in part]
            yield BuildInput(digests=ContextDigests(name=self._name, digests=digests, complete=complete))

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
        contents: list[ContextContent] = []
        size = 0
        for number in numbers:
            for piece, is_last in self._read(self._file(number), hashlib.sha256()):
                contents.append(ContextContent(number=number, data=piece, complete=is_last))
                size += len(piece) + 16
                self.sent_bytes += len(piece)
                if size >= DATA_BYTES:
                    yield self._contents(contents, complete=False)
                    contents, size = [], 0
        yield self._contents(contents, complete=True)

    def _contents(self, contents: Sequence[ContextContent], *, complete: bool) -> BuildInput:
        return BuildInput(contents=ContextContents(name=self._name, contents=contents, complete=complete))

    def _file(self, number: int) -> ContextFile:
        if number >= len(self._files):
            raise Unavailable("the node requested a file that is not in the context")
        return self._files[number]
