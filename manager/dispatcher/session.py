"""One agent's session as the manager sees it: what was sent, and what waits to be sent."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterator

from manager.dispatcher.file_contents import FileContents
from manager.dispatcher.marks import Mark
from manager.dispatcher.needs import News, is_empty
from manager.dispatcher.node_records import Told
from shoal.api.v1.dispatcher_pb2 import Assignments, ManagerMessage
from shoal.errors import ShoalError

Source = Callable[[str, Collection[Mark] | None], News]
"""What a node is to be told of these records, as they are now; of everything when None."""


class AgentSession:
    """Gathers marks while a message is on its way, so that a burst of changes is one increment.

    An idle session sends at once; nothing waits for a timer. Of what was sent nothing is kept: what the records are the
    catalogue knows, and which of them the agent lacks the marks say.

    Attributes:
        told: what its agent said of the node last.
    """

    def __init__(self, node_id: str, sequences: Iterator[int], told: Told) -> None:
        self.node_id = node_id
        self.told = told
        self._sequences = sequences
        self._unsent: int | None = 0
        self._under_way: deque[tuple[int, int, int]] = deque()
        self._revision = 0
        self._marks: set[Mark] | None = None
        self._acknowledged = 0
        self._told = 0
        self._notices: dict[str, ManagerMessage] = {}
        self._over = False
        self._reason: ShoalError | None = None
        self._wake = asyncio.Event()
        self._wake.set()

    def touch(self, generation: int, marks: Collection[Mark]) -> None:
        """These records have changed for the node, at this step of the catalogue."""
        if self._marks is not None:  # else the snapshot will have them
            self._marks.update(marks)
        self._unsent = generation if self._unsent is None else self._unsent
        self._wake.set()

    def acknowledge(self, sequence: int) -> None:
        """Batches up to this sequence are in etcd."""
        self._acknowledged = max(self._acknowledged, sequence)
        self._wake.set()

    def send(self, message: ManagerMessage) -> None:
        """Send this as soon as it is its turn; of several of the same kind that wait, the last."""
        self._notices[message.WhichOneof("kind") or ""] = message
        self._wake.set()

    def awaits(self, sequence: int) -> bool:
        """Whether the message of this number was sent, and has not been said to be applied."""
        return any(number == sequence for number, *_ in self._under_way)

    def applied(self, sequence: int) -> None:
        """The node's datapath holds what the message of this number says. One of another session is passed over."""
        if self.awaits(sequence):
            while self._under_way and self._under_way[0][0] <= sequence:
                _, _, self._revision = self._under_way.popleft()

    def revision(self, newest: int) -> int:
        """The store's revision that the node's datapath holds, 0 before the first.

        Args:
            newest: the store's own, which a node has that lacks nothing.
        """
        return newest if self.oldest_unapplied is None else self._revision

    @property
    def oldest_unapplied(self) -> int | None:
        """The first step of the catalogue that the node may not have applied; None when it has applied all."""
        return self._under_way[0][1] if self._under_way else self._unsent

    def is_clear_of(self, generation: int) -> bool:
        """Whether the node has applied everything that this step of the catalogue changed for it."""
        oldest = self.oldest_unapplied
        return oldest is None or oldest > generation

    def end(self, reason: ShoalError | None) -> None:
        """End it: with an error for the agent, or (None) since the agent left. The first reason counts."""
        if not self._over:
            self._over, self._reason = True, reason
            self._wake.set()

    async def messages(self, source: Source, files: FileContents) -> AsyncGenerator[ManagerMessage]:
        """A snapshot, then increments and acknowledgements, until the end.

        Args:
            files: opens the contents that the node needs.
        Raises:
            ShoalError: the reason given to `end`.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._over:
                break
            if self._acknowledged > self._told:
                self._told = self._acknowledged
                yield ManagerMessage(status_ack=self._told)
            while self._notices:
                yield self._notices.pop(next(iter(self._notices)))
            if self._marks or self._marks is None:
                for message in self._news(source, files):
                    yield ManagerMessage(assignments=message)
        if self._reason is not None:
            raise self._reason

    def _news(self, source: Source, files: FileContents) -> Iterator[Assignments]:
        """What the agent lacks: first everything but contents, which are opened one message at a time."""
        marks, self._marks = self._marks, set()
        news = source(self.node_id, marks)
        message = news.assignments
        since, self._unsent = self._unsent, None
        if message.snapshot or not is_empty(message):
            message.sequence = next(self._sequences)
            self._under_way.append((message.sequence, since or 0, message.store_revision))
            yield message
        yield from files.messages(news.files, message.store_revision)
