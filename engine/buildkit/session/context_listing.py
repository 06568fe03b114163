"""A directory of a client as a node has it: a list of what is in it, and then of that only what the node lacks."""

import hashlib
from collections.abc import AsyncGenerator, Iterator, Sequence

from engine.buildkit.session.file_receiver import FileReceiver
from engine.buildkit.session.known_files import Known, identity
from engine.buildkit.translation.sent_files import context_entry
from shoal.api.v1.builds_pb2 import BuildInput, ContextContent
from shoal.build_contexts.context_messages import ContextMessages
from shoal.errors import Unavailable


class ListedFiles:
    """One directory of one build.

    Args:
        name: of a named context, else empty. key: of contexts that the node compares.
        known: of the last build; `known` has those of this one at the end.
    """

    def __init__(self, files: FileReceiver, name: str, key: str, known: Known) -> None:
        self._files = files
        self._messages = ContextMessages(name, key)
        self._before = known
        self._numbers: list[int] = []
        self.known: Known = {}
        self.sent_bytes = 0

    async def listing(self) -> AsyncGenerator[BuildInput]:
        """The list. Raises as `FileReceiver.stats`; InvalidInput."""
        async for number, stat in self._files.stats():
            entry = context_entry(stat)
            if entry is None:
                continue
            found = self._before.get(stat.path)
            if found is not None and found[0] == identity(stat) and not entry.hard_link:
                entry.digest = found[1]
                self.known[stat.path] = found
            self._numbers.append(number)
            for message in self._messages.add_entry(entry):
                yield message
        yield self._messages.end_entries()

    def digests(self, numbers: Sequence[int]) -> Iterator[BuildInput]:
        """They cannot be told: to make one, the client would have to send the content, and it sends each once."""
        return self._messages.digests(numbers, lambda _: b"")

    async def contents(self, numbers: Sequence[int]) -> AsyncGenerator[BuildInput]:
        """Contents that are requested; the last message says so. Raises as `FileReceiver.contents`."""
        if any(each >= len(self._numbers) for each in numbers):
            raise Unavailable("the node requested a file that is not in the context")
        places = iter(numbers)
        async for stat, pieces in self._files.contents([self._numbers[each] for each in numbers]):
            place, digest, length = next(places), hashlib.sha256(), 0
            async for piece in pieces:
                digest.update(piece)
                length += len(piece)
                for message in self._messages.add_content(ContextContent(number=place, data=piece)):
                    yield message
            for message in self._messages.add_content(ContextContent(number=place, complete=True)):
                yield message
            self.sent_bytes += length
            if length == stat.size:
                self.known[stat.path] = identity(stat), digest.digest()
        yield self._messages.end_contents()
