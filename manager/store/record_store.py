"""Protocols of the store, each a superset of the one before: what reads, what also writes, what writes a lot.

`manager.store.store.Store` implements all of them; a dry run implements `RecordStore`.
"""

from collections.abc import Sequence
from typing import Protocol

from manager.store.changes import Expect, Write
from manager.store.kinds import Kind, M
from manager.store.subscription import Subscription
from manager.store.tables import View


class RecordReader(Protocol):
    """The records, and their changes."""

    @property
    def tables(self) -> View:
        """All records; live."""
        ...

    def follow(self) -> Subscription:
        """All changes of the tables from now on; use it as a context manager, and iterate over batches."""
        ...


class RecordStore(RecordReader, Protocol):
    """Reads and writes records."""

    @property
    def max_operations(self) -> int:
        """How many writes, and how many expectations with the fence, a commit may have."""
        ...

    def version_of(self, kind: Kind[M], identifier: str) -> int:
        """The record's version for an `Expect`, or ABSENT."""
        ...

    async def commit(self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None) -> int:
        """Apply all writes in one transaction, or none. They are in the tables when it returns.

        Args:
            writes: at most `max_operations` and 1 MiB, each record once.
            fence: the term's number (the leader key's create revision); the term must still last.

        Returns:
            The revision of the writes: their records' version.

        Raises:
            InvalidInput: too many writes, or a record twice.
            Exhausted: too many bytes, or etcd's quota is exceeded (`NoSpace`, which is also an Unavailable and means
                that nothing was written).
            Conflict: an expectation failed.
            LeadershipLost: the term is over.
            Unavailable: etcd is unavailable, or was restored (`HistoryReplaced`); nothing was written.
            Timeout: etcd became unavailable, and it is unknown whether the writes were applied.
        """
        ...


class CommitSequence(Protocol):
    """The position of a transaction in its term's sequence."""

    def following(self) -> tuple[Write, Expect]:
        """The additional write of the next transaction, and its condition."""
        ...

    def committed(self, revision: int) -> None:
        """That transaction was applied."""
        ...


class BatchStore(RecordStore, Protocol):
    """Also makes large writes in several transactions, and waits for revisions."""

    @property
    def max_bytes(self) -> int:
        """About how large a commit of several writes may be; lowered when etcd rejects one."""
        ...

    async def ready(self) -> None:
        """Wait until all records are loaded."""
        ...

    async def reached(self, revision: int) -> None:
        """Wait until everything that any manager wrote up to `revision` is in the tables.

        A revision of one of the records is reached soon; any other only with etcd's next progress notification.
        """
        ...

    async def commit_in_batches(
        self, writes: Sequence[Write], *, fence: int | None = None, sequence: CommitSequence | None = None
    ) -> int:
        """Apply the writes in order, in as many consecutive transactions as the limits require.

        Args:
            sequence: orders the transactions; it is notified of each that was applied.

        Returns:
            The last transaction's revision.

        Raises:
            As `commit`; the batches before the failed one stay applied.
        """
        ...
