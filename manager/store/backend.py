"""What the store needs of etcd, and no more: pages at a pinned revision, transactions, a watch, leases.

`manager.etcd.client` implements it over gRPC and `tests/fakes` in memory; one contract suite runs on both. All methods
raise `Unavailable` when etcd is unavailable and the call certainly had no effect, `NoSpace` when etcd's quota is
exceeded, and `HistoryReplaced` when a different etcd cluster responds than the first time.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from shoal.errors import Exhausted, Unavailable

NO_LEASE = 0


class KeyValue(NamedTuple):
    """A key as it is stored in etcd."""

    key: bytes
    value: bytes
    mod_revision: int
    create_revision: int
    lease: int


class Page(NamedTuple):
    """One page of a range.

    Attributes:
        revision: at which it was read; ask for the next page at the same one.
        next_key: where the next page starts; None when this was the last.
    """

    records: Sequence[KeyValue]
    revision: int
    next_key: bytes | None


class Reading(NamedTuple):
    """Keys at one revision, without the absent ones."""

    records: Mapping[bytes, KeyValue]
    revision: int


class KeyEvent(NamedTuple):
    """One key's change; a deletion has no value."""

    key: bytes
    value: bytes | None
    mod_revision: int


class Batch(NamedTuple):
    """Events in order, whole revisions only; all events up to `revision` have been delivered."""

    revision: int
    events: Sequence[KeyEvent]


class Put(NamedTuple):
    key: bytes
    value: bytes
    lease: int = NO_LEASE


class Delete(NamedTuple):
    key: bytes


class CompareTarget(Enum):
    """Which of a key's revisions is compared, and how. An absent key's revisions are 0."""

    MODIFIED_AT = "mod revision equals"
    MODIFIED_AFTER = "mod revision is greater than"
    CREATED_AT = "create revision equals"


class Compare(NamedTuple):
    key: bytes
    target: CompareTarget
    revision: int

    def holds(self, found: KeyValue | None) -> bool:
        """Whether a key that was read meets the condition; None stands for an absent key."""
        if self.target is CompareTarget.CREATED_AT:
            return self.revision == (found.create_revision if found else 0)
        modified = found.mod_revision if found else 0
        return modified == self.revision if self.target is CompareTarget.MODIFIED_AT else modified > self.revision


@dataclass(frozen=True)
class TxnResult:
    """The result of a transaction.

    Attributes:
        succeeded: whether all conditions held, so that all operations were applied.
        revision: etcd's after the transaction; if it succeeded, the written keys' mod revision.
        found: the compared keys if a condition failed, without the absent ones; else empty.
    """

    succeeded: bool
    revision: int
    found: Mapping[bytes, KeyValue] = field(default_factory=dict)


class Compacted(Exception):
    """The watch's start was compacted, or etcd cancelled the watch: list again. Not for users."""


class OutcomeUnknown(Exception):
    """The connection broke or the deadline passed during a write: read to find out. Not for users."""


class HistoryReplaced(Unavailable):
    """etcd's records are not the ones that were loaded: it was wiped, or restored from a snapshot or a backup.

    The tables are no longer valid, so the manager exits; after a restart it loads the new records.
    """


class RequestTooLarge(Unavailable):
    """etcd refused a transaction for its size or its number of operations; nothing was written.

    `Backend.max_operations` and `Backend.max_bytes` have been lowered accordingly.
    """


class NoSpace(Exhausted, Unavailable):
    """etcd's quota is exceeded: it answers reads and rejects writes until it is compacted and defragmented.

    The transaction that exceeds the quota is applied although etcd responds with this error
    (https://github.com/etcd-io/etcd/issues/16659), so here, too, only a read shows what was written.

    For users a limit that was reached; for background work the same as an etcd that is unavailable for a while.
    """


class Backend(Protocol):
    """etcd, as the store and the leadership use it."""

    @property
    def max_operations(self) -> int:
        """How many operations, and how many conditions, one transaction may have; it may decrease."""
        ...

    @property
    def max_bytes(self) -> int:
        """How large a transaction of several operations may be, as `transaction.size` counts; it may decrease."""
        ...

    async def range(
        self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0, keys_only: bool = False
    ) -> Page:
        """Records with start <= key < end, linearizable, at `revision` (0: now).

        Args:
            keys_only: the values are left out: they are empty.

        Raises:
            Compacted: that revision was compacted.
        """
        ...

    async def read(self, keys: Sequence[bytes]) -> Reading:
        """Some keys at one revision, linearizable."""
        ...

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        """One transaction. Not retried.

        Raises:
            OutcomeUnknown: it may or may not have been applied.
            NoSpace: as OutcomeUnknown, but a read is conclusive: it is no longer in flight.
            RequestTooLarge: it was not applied; smaller ones may be.
        """
        ...

    def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncGenerator[Batch, None]:
        """Changes of start <= key < end from `revision` on, included, until the connection breaks.

        Resume at the last batch's revision + 1.

        Raises:
            Unavailable: the connection broke.
            Compacted: list again.
        """
        ...

    async def grant(self, ttl_seconds: int) -> int:
        """A new lease's id."""
        ...

    async def keep_alive(self, lease: int) -> int:
        """Extend the lease once; its time to live in seconds, 0 if it has expired."""
        ...

    async def revoke(self, lease: int) -> None:
        """Revoke the lease and delete its keys. No error if it has expired."""
        ...


def prefix_end(prefix: bytes) -> bytes:
    """The end of the range that holds all keys with this prefix (which does not end in 0xff)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
