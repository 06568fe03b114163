"""An agent's session on the manager's side: what was sent, and what is pending."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterator

from manager.change_spans import record_dispatch
from manager.dispatcher.assignments.dirty_records import RecordRef
from manager.dispatcher.assignments.file_delivery import FileDelivery
from manager.dispatcher.assignments.node_assignments import AssignmentChanges, is_empty
from manager.dispatcher.statuses.node_status_updates import NodeReport
from shoal.api.v1.dispatcher_pb2 import Assignments, ManagerMessage
from shoal.errors import ShoalError
from shoal.metrics.instruments import Counter

_OPENED = Counter("shoal_manager_sessions_opened", "Sessions of agents that this manager has opened.")
_CLOSED = Counter("shoal_manager_sessions_closed", "Sessions of agents that ended.")

MAX_UNAPPLIED = 1_000
"""Increments that a node has not applied yet. Of one that applies none, only the records that it lacks are remembered,
and no more is sent."""

ChangeSource = Callable[[str, Collection[RecordRef] | None], AssignmentChanges]
"""What to send a node: these records as they are now, or everything if None."""


class AgentSession:
    """Batches changed records while a message is in flight, so that a burst of changes is one increment.

    An idle session sends at once; nothing waits for a timer. What was sent is not kept: the index has the records, and
    the set of dirty records says which of them the agent lacks.

    Attributes:
        report: the agent's last report of the node.
    """

    def __init__(self, node_id: str, sequences: Iterator[int], report: NodeReport) -> None:
        self.node_id = node_id
        self.report = report
        self._sequences = sequences
        self._unsent: int | None = 0
        self._unapplied: deque[tuple[int, int, int]] = deque()
        self._revision = 0
        self._dirty: set[RecordRef] | None = None
        self._acknowledged = 0
        self._acknowledgement_sent = 0
        self._queued: dict[str, ManagerMessage] = {}
        self._ended = False
        self._end_reason: ShoalError | None = None
        self._last_message: ManagerMessage | None = None
        self._wake = asyncio.Event()
        self._wake.set()
        _OPENED.add()

    def mark_dirty(self, generation: int, records: Collection[RecordRef]) -> None:
        """These records have changed for the node, at this generation of the index."""
        if self._dirty is not None:  # else the snapshot will have them
            self._dirty.update(records)
        self._unsent = generation if self._unsent is None else self._unsent
        self._wake.set()

    def acknowledge(self, sequence: int) -> None:
        """Batches up to this sequence are in etcd."""
        self._acknowledged = max(self._acknowledged, sequence)
        self._wake.set()

    def send(self, message: ManagerMessage) -> None:
        """Send this message next; of several pending messages of the same kind only the last."""
        self._queued[message.WhichOneof("kind") or ""] = message
        self._wake.set()

    def is_unapplied(self, sequence: int) -> bool:
        """Whether the message with this number was sent and has not been acknowledged as applied."""
        return any(number == sequence for number, *_ in self._unapplied)

    def applied(self, sequence: int) -> None:
        """The node has applied the message with this number. Numbers of other sessions are ignored."""
        if self.is_unapplied(sequence):
            while self._unapplied and self._unapplied[0][0] <= sequence:
                _, _, self._revision = self._unapplied.popleft()
            self._wake.set()

    def applied_revision(self, newest: int) -> int:
        """The store's revision that the node has applied, 0 before the first.

        Args:
            newest: the store's own, which holds for a node that has applied everything.
        """
        return newest if self.oldest_unapplied is None else self._revision

    @property
    def oldest_unapplied(self) -> int | None:
        """The first generation of the index that the node may not have applied; None if it has applied all."""
        return self._unapplied[0][1] if self._unapplied else self._unsent

    def has_applied(self, generation: int) -> bool:
        """Whether the node has applied all changes up to this generation of the index."""
        oldest = self.oldest_unapplied
        return oldest is None or oldest > generation

    @property
    def has_ended(self) -> bool:
        """What arrives now is not handled any more."""
        return self._ended

    def end(self, reason: ShoalError | None, last_message: ManagerMessage | None = None) -> None:
        """End it: with an error for the agent, or (None) since the agent left. The first reason counts.

        Args:
            last_message: sent before the error.
        """
        if not self._ended:
            self._ended, self._end_reason, self._last_message = True, reason, last_message
            _CLOSED.add()
            self._wake.set()

    async def messages(self, source: ChangeSource, files: FileDelivery) -> AsyncGenerator[ManagerMessage]:
        """A snapshot, then increments and acknowledgements, until the end.

        Args:
            files: decrypts the contents that the node needs.
        Raises:
            ShoalError: the reason given to `end`.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._acknowledged > self._acknowledgement_sent:
                self._acknowledgement_sent = self._acknowledged
                yield ManagerMessage(status_ack=self._acknowledgement_sent)
            if self._ended:
                break
            while self._queued:
                yield self._queued.pop(next(iter(self._queued)))
            if (self._dirty or self._dirty is None) and len(self._unapplied) < MAX_UNAPPLIED:
                for message in self._assignment_messages(source, files):
                    yield ManagerMessage(assignments=message)
        if self._last_message is not None:
            yield self._last_message
        if self._end_reason is not None:
            raise self._end_reason

    def _assignment_messages(self, source: ChangeSource, files: FileDelivery) -> Iterator[Assignments]:
        """What the agent lacks: first everything but file contents, which are decrypted one message at a time."""
        dirty, self._dirty = self._dirty, set()
        changes = source(self.node_id, dirty)
        message = changes.assignments
        since, self._unsent = self._unsent, None
        if message.snapshot or not is_empty(message):
            message.sequence = next(self._sequences)
            self._unapplied.append((message.sequence, since or 0, message.store_revision))
            record_dispatch(message.revisions, self.node_id)
            yield message
        yield from files.messages(changes.files, message.store_revision)
