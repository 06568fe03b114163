"""A directory of a client as a node has it: a list of what is in it, and then of that only what the node lacks."""

import hashlib
from collections.abc import AsyncGenerator, Iterator, Sequence

from engine.buildkit.session.file_receiver import FileReceiver
from engine.buildkit.session.known_files import Known, identity
from engine.buildkit.translation.sent_files import context_entry
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
_ENTRY_BYTES, _CONTENT_BYTES = 64, 16
"""Of an entry and of a piece besides its texts and its data."""


class ListedFiles:
    """One directory of one build.

    Args:
        name: of a named context, else empty. key: of contexts that the node compares.
        known: of the last build; `known` has those of this one at the end.
    """

    def __init__(self, files: FileReceiver, name: str, key: str, known: Known) -> None:
        self._files = files
        self._name = name
        self._key = key
        self._before = known
        self._numbers: list[int] = []
        self.known: Known = {}
        self.sent_bytes = 0

    async def listing(self) -> AsyncGenerator[BuildInput]:
        """The list. Raises as `FileReceiver.stats`; InvalidInput."""
        entries: list[ContextEntry] = []
        size = 0
        async for number, stat in self._files.stats():
            entry = context_entry(stat)
            if entry is None:
                continue
            found = self._before.get(stat.path)
            if found is not None and found[0] == identity(stat) and not entry.hard_link:
                entry.digest = found[1]
                self.known[stat.path] = found
            self._numbers.append(number)
            entries.append(entry)
            size += len(entry.path) + len(entry.link) + _ENTRY_BYTES
            if len(entries) >= ENTRIES_AT_ONCE or size >= LIST_BYTES:
                yield BuildInput(listing=ContextListing(name=self._name, key=self._key, entries=entries))
                entries, size = [], 0
        yield BuildInput(listing=ContextListing(name=self._name, key=self._key, entries=entries, complete=True))

    def digests(self, numbers: Sequence[int]) -> Iterator[BuildInput]:
        """They cannot be told: to make one, the client would have to send the content, and it sends each once."""
        for at in range(0, len(numbers) or 1, DIGESTS_AT_ONCE):
            count = len(numbers[at : at + DIGESTS_AT_ONCE])
            complete = at + DIGESTS_AT_ONCE >= len(numbers)
            yield BuildInput(digests=ContextDigests(name=self._name, digests=[b""] * count, complete=complete))

    async def contents(self, numbers: Sequence[int]) -> AsyncGenerator[BuildInput]:
        """Contents that are requested; the last message says so. Raises as `FileReceiver.contents`."""
        if any(each >= len(self._numbers) for each in numbers):
            raise Unavailable("the node requested a file that is not in the context")
        contents: list[ContextContent] = []
        size = 0
        places = iter(numbers)
        async for stat, pieces in self._files.contents([self._numbers[each] for each in numbers]):
            place, digest, length = next(places), hashlib.sha256(), 0
            async for piece in pieces:
                digest.update(piece)
                length += len(piece)
                contents.append(ContextContent(number=place, data=piece))
                size += len(piece)
                if size >= DATA_BYTES:
                    yield self._contents(contents, complete=False)
                    contents, size = [], 0
            contents.append(ContextContent(number=place, complete=True))
            size += _CONTENT_BYTES
            self.sent_bytes += length
            if length == stat.size:
                self.known[stat.path] = identity(stat), digest.digest()
        yield self._contents(contents, complete=True)

    def _contents(self, contents: Sequence[ContextContent], *, complete: bool) -> BuildInput:
        return BuildInput(contents=ContextContents(name=self._name, contents=contents, complete=complete))
