"""One agent's session as the manager sees it: what was sent, and what waits to be sent."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator

from manager.dispatcher.file_contents import FileContents
from manager.dispatcher.needs import NOTHING, Needs, diff, is_empty, new_files, snapshot
from shoal.api.v1.dispatcher_pb2 import Assignments, ManagerMessage
from shoal.errors import ShoalError


class AgentSession:
    """Gathers wake-ups while a message is on its way, so that a burst of changes is one increment.

    An idle session sends at once; nothing waits for a timer.
    """

    def __init__(self, node_id: str, sequences: Iterator[int]) -> None:
        self.node_id = node_id
        self._sequences = sequences
        self._unsent: int | None = 0
        self._under_way: deque[tuple[int, int]] = deque()
        self._sent: Needs | None = None
        self._stale = True
        self._acknowledged = 0
        self._told = 0
        self._over = False
        self._reason: ShoalError | None = None
        self._wake = asyncio.Event()
        self._wake.set()

    def touch(self, generation: int) -> None:
        """What the node needs may have changed, at this step of the catalogue."""
        self._stale = True
        self._unsent = generation if self._unsent is None else self._unsent
        self._wake.set()

    def acknowledge(self, sequence: int) -> None:
        """Batches up to this sequence are in etcd."""
        self._acknowledged = max(self._acknowledged, sequence)
        self._wake.set()

    def applied(self, sequence: int) -> None:
        """The node's datapath holds what the message of this number says. One of another session is passed over."""
        if any(number == sequence for number, _ in self._under_way):
            while self._under_way and self._under_way[0][0] <= sequence:
                self._under_way.popleft()

    def is_clear_of(self, generation: int) -> bool:
        """Whether the node has applied everything that this step of the catalogue changed for it."""
        oldest = self._under_way[0][1] if self._under_way else self._unsent
        return oldest is None or oldest > generation

    def end(self, reason: ShoalError | None) -> None:
        """End it: with an error for the agent, or (None) since the agent left. The first reason counts."""
        if not self._over:
            self._over, self._reason = True, reason
            self._wake.set()

    async def messages(
        self, needs: Callable[[str], tuple[Needs, int]], files: FileContents
    ) -> AsyncGenerator[ManagerMessage]:
        """A snapshot, then increments and acknowledgements, until the end.

        Args:
            needs: what a node needs, and the store's revision of that.
            files: opens the contents that it needs.
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
            if self._stale:
                for increment in self._increments(*needs(self.node_id), files):
                    yield ManagerMessage(assignments=increment)
        if self._reason is not None:
            raise self._reason

    def _increments(self, needs: Needs, revision: int, files: FileContents) -> Iterator[Assignments]:
        """What the agent lacks: first everything but contents, which are opened one message at a time."""
        self._stale = False
        was, self._sent = self._sent, needs
        first = snapshot(needs, revision) if was is None else diff(was, needs, revision)
        since, self._unsent = self._unsent, None
        if was is None or not is_empty(first):
            first.sequence = next(self._sequences)
            self._under_way.append((first.sequence, since or 0))
            yield first
        yield from files.messages(new_files(was or NOTHING, needs), revision)
