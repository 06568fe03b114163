"""Messages to a node about a context: a list of what is in it, then digests and contents that the node requests."""

from collections.abc import Callable, Iterator, Sequence

from shoal.api.v1.builds_pb2 import (
    BuildInput,
    ContextContent,
    ContextContents,
    ContextDigests,
    ContextEntry,
    ContextListing,
)

ENTRIES_AT_ONCE = 2_000
LIST_BYTES = 512 << 10
DATA_BYTES = 256 << 10
DIGESTS_AT_ONCE = 10_000
_ENTRY_BYTES, _CONTENT_BYTES = 64, 16
"""Of an entry and of a piece besides its texts and its data."""


class ContextMessages:
    """Of one context, each of bounded size.

    Args:
        name: of a named context, else empty.
        key: of contexts that are compared.
    """

    def __init__(self, name: str, key: str) -> None:
        self._name = name
        self._key = key
        self._entries: list[ContextEntry] = []
        self._contents: list[ContextContent] = []
        self._size = 0

    def add_entry(self, entry: ContextEntry) -> Sequence[BuildInput]:
        """Another entry of the list; returns the message of the last ones once they fill one."""
        self._entries.append(entry)
        self._size += len(entry.path) + len(entry.link) + _ENTRY_BYTES
        is_full = len(self._entries) >= ENTRIES_AT_ONCE or self._size >= LIST_BYTES
        return (self._listing(complete=False),) if is_full else ()

    def end_entries(self) -> BuildInput:
        """The last message of the list."""
        return self._listing(complete=True)

    def digests(self, numbers: Sequence[int], find: Callable[[int], bytes]) -> Iterator[BuildInput]:
        """Digests of files by their numbers in the list; the last message says that it is. Raises what `find` raises.

        Args:
            find: the digest of a file; empty: it cannot be told.
        """
        for at in range(0, len(numbers) or 1, DIGESTS_AT_ONCE):
            digests = [find(each) for each in numbers[at : at + DIGESTS_AT_ONCE]]
            complete = at + DIGESTS_AT_ONCE >= len(numbers)
            yield BuildInput(digests=ContextDigests(name=self._name, digests=digests, complete=complete))

    def add_content(self, content: ContextContent) -> Sequence[BuildInput]:
        """Another piece of a file; returns the message of the last ones once they fill one."""
        self._contents.append(content)
        self._size += len(content.data) + _CONTENT_BYTES
        return (self._pieces(complete=False),) if self._size >= DATA_BYTES else ()

    def end_contents(self) -> BuildInput:
        """The last message of contents."""
        return self._pieces(complete=True)

    def _listing(self, *, complete: bool) -> BuildInput:
        listing = ContextListing(name=self._name, key=self._key, entries=self._entries, complete=complete)
        self._entries, self._size = [], 0
        return BuildInput(listing=listing)

    def _pieces(self, *, complete: bool) -> BuildInput:
        contents = ContextContents(name=self._name, contents=self._contents, complete=complete)
        self._contents, self._size = [], 0
        return BuildInput(contents=contents)
