"""What the store needs of etcd, and no more: pages at a pinned revision, transactions, a watch, leases.

`manager.etcd.client` implements it over gRPC and `tests/fakes` in memory; one contract suite runs on both. All methods
raise `Unavailable` when etcd is away and the call surely did nothing, `NoSpace` when etcd's quota is used up, and
`HistoryReplaced` when another cluster of etcd answers than the first time.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from shoal.errors import Exhausted, Unavailable

NO_LEASE = 0


class KeyValue(NamedTuple):
    """A key as it lies in etcd."""

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
    """Keys as they were at one revision, without the absent ones."""

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
    what: CompareTarget
    revision: int

    def holds(self, found: KeyValue | None) -> bool:
        """Whether the condition is met by a key as it was read; None stands for an absent key."""
        if self.what is CompareTarget.CREATED_AT:
            return self.revision == (found.create_revision if found else 0)
        modified = found.mod_revision if found else 0
        return modified == self.revision if self.what is CompareTarget.MODIFIED_AT else modified > self.revision


@dataclass(frozen=True)
class TxnResult:
    """The result of a transaction.

    Attributes:
        succeeded: whether all conditions held, so that all operations were made.
        revision: etcd's after the transaction; the written keys' mod revision when it was done.
        found: the compared keys as they were when a condition failed, without the absent ones; else empty.
    """

    succeeded: bool
    revision: int
    found: Mapping[bytes, KeyValue] = field(default_factory=dict)


class Compacted(Exception):
    """The watch's start was compacted away, or etcd cancelled the watch: list again. Not for users."""


class OutcomeUnknown(Exception):
    """The connection broke or the deadline passed in the midst of a write: read to find out. Not for users."""


class HistoryReplaced(Unavailable):
    """etcd's records are not the ones that were loaded: it was wiped, or restored from a snapshot or a backup.

    What is in the tables holds no longer, so the manager ends; started again, it loads what is there.
    """


class RequestTooLarge(Unavailable):
    """etcd refused a transaction for its size or its number of operations; nothing was written.

    `Backend.max_operations` and `Backend.max_bytes` say what is sent from now on.
    """


class NoSpace(Exhausted, Unavailable):
    """etcd's quota is exceeded: it answers reads and rejects writes until it is compacted and defragmented.

    The transaction that uses up the last of it is made although etcd answers with this
    (https://github.com/etcd-io/etcd/issues/16659), so after this, too, only a read tells what was written.

    For users a bound that is reached; for what runs in the background the same as an etcd that is away for a while.
    """


class Backend(Protocol):
    """etcd, as the store and the leadership use it."""

    @property
    def max_operations(self) -> int:
        """How many operations, and how many conditions, one transaction may have; it may become less."""
        ...

    @property
    def max_bytes(self) -> int:
        """How large a transaction of several operations may be, as `transaction.size` counts; it may become less."""
        ...

    async def range(self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0) -> Page:
        """Records with start <= key < end, linearizable, at `revision` (0: now).

        Raises:
            Compacted: that revision is gone.
        """
        ...

    async def read(self, keys: Sequence[bytes]) -> Reading:
        """Some keys at one revision, linearizable."""
        ...

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        """One transaction. Not retried.

        Raises:
            OutcomeUnknown: it may or may not have been made.
            NoSpace: as OutcomeUnknown, but a read tells for sure: it is not under way any more.
            RequestTooLarge: it was not made; smaller ones may be.
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
        """Extend the lease once; its time to live in seconds, 0 when it is lost."""
        ...

    async def revoke(self, lease: int) -> None:
        """End the lease and delete its keys. No error when it is gone."""
        ...


def prefix_end(prefix: bytes) -> bytes:
    """The end of the range that holds all keys with this prefix (which does not end in 0xff)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
