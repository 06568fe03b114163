"""Builds one etcd transaction from writes and preconditions, and interprets its result. Pure: no I/O."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from manager.store.backend import Compare, CompareTarget, Delete, HistoryReplaced, KeyValue, Put, TxnResult
from manager.store.changes import ABSENT, PRESENT, Expect, Write
from manager.store.kinds import EPOCH, LEADER
from manager.store.versioned_tables import encode
from shoal.errors import Conflict, Exhausted, InvalidInput, LeadershipLost, ShoalError

MAX_OPERATIONS = 1000
"""Below --max-txn-ops of the manager's own etcd, 1024. An external etcd may accept fewer: see `Backend`."""
MAX_BYTES = 1 << 20
"""Below etcd's default limit on a request, 1.5 MiB."""


@dataclass(frozen=True)
class Transaction:
    """What one commit sends to etcd.

    Attributes:
        operations: one for each of the writes.
        epoch: of the tables from which the writes were decided; empty while there is no cluster.
    """

    writes: Sequence[Write]
    compares: tuple[Compare, ...]
    operations: Sequence[Put | Delete]
    expects: tuple[Expect, ...] = ()
    fence: int | None = None
    epoch: str = ""

    def in_epoch(self, epoch: str) -> "Transaction":
        """The same, which etcd rejects if it is in another epoch."""
        return replace(self, compares=(*self.compares, epoch_compare(epoch)), epoch=epoch) if epoch else self

    def followed_by(self, write: Write, expected: Expect) -> "Transaction":
        """The same with one more write and its condition."""
        return replace(
            self,
            writes=[*self.writes, write],
            operations=[*self.operations, operation(write)],
            compares=(*self.compares, compare(expected)),
            expects=(*self.expects, expected),
        )


def operation(write: Write) -> Put | Delete:
    """The etcd operation of one write."""
    key = write.kind.key(write.identifier)
    return Delete(key) if write.value is None else Put(key, encode(write.kind, write.value))


def size(operation: Put | Delete) -> int:
    """Bytes in a request, its protobuf framing estimated."""
    return len(operation.key) + (len(operation.value) if isinstance(operation, Put) else 0) + 24


def build(
    writes: Sequence[Write], expects: Sequence[Expect], fence: int | None, max_operations: int = MAX_OPERATIONS
) -> Transaction:
    """One transaction of all writes.

    Args:
        max_operations: operations, or conditions, that etcd accepts in one.

    Raises:
        InvalidInput: more than that, or a record named twice.
        Exhausted: more than MAX_BYTES.
    """
    return _built(writes, [operation(write) for write in writes], expects, fence, max_operations)


def _built(
    writes: Sequence[Write],
    operations: Sequence[Put | Delete],
    expects: Sequence[Expect],
    fence: int | None,
    max_operations: int,
) -> Transaction:
    check_limits(operations, len(expects) + (fence is not None), max_operations)
    compares = [compare(expected) for expected in expects]
    if fence is not None:
        compares.append(Compare(LEADER.key(""), CompareTarget.CREATED_AT, fence))
    return Transaction(writes, tuple(compares), operations, tuple(expects), fence)


def check_limits(operations: Sequence[Put | Delete], compares: int, max_operations: int) -> None:
    """Raises as `build`: the transaction exceeds a limit."""
    if max(len(operations), compares) > max_operations:
        advice = "start etcd with --max-txn-ops=1024" if max_operations < MAX_OPERATIONS else "split it"
        raise InvalidInput(
            f"transaction too large ({len(operations)} writes, {compares} "
            f"conditions); the maximum is {max_operations} of each; {advice}"
        )
    if len({each.key for each in operations}) != len(operations):
        raise InvalidInput("a transaction writes the same record twice")
    total = sum(map(size, operations))
    if total > MAX_BYTES:
        raise Exhausted(f"transaction too large ({total} bytes); the maximum is {MAX_BYTES} bytes")


def epoch_compare(epoch: str) -> Compare:
    """The condition that etcd is still in this epoch: a restore starts a new one."""
    return Compare(EPOCH.key(epoch), CompareTarget.MODIFIED_AFTER, 0)


def compare(expected: Expect) -> Compare:
    """The etcd condition of an expectation."""
    key = expected.kind.key(expected.identifier)
    if expected.version == PRESENT:
        return Compare(key, CompareTarget.MODIFIED_AFTER, 0)
    return Compare(key, CompareTarget.MODIFIED_AT, expected.version)


def rejection(transaction: Transaction, result: TxnResult) -> ShoalError:
    """Why a transaction was rejected: by its epoch, then its fence, then its preconditions."""
    if transaction.epoch and EPOCH.key(transaction.epoch) not in result.found:
        return HistoryReplaced("etcd was restored or wiped since this manager loaded it; nothing was written")
    if transaction.fence is not None:
        leader = result.found.get(LEADER.key(""))
        if leader is None or leader.create_revision != transaction.fence:
            return LeadershipLost(f"the term that began at revision {transaction.fence} is over; nothing was written")
    failed = (each for each in transaction.expects if not compare(each).holds(result.found.get(compare(each).key)))
    return next(
        (conflict(each, result.found) for each in failed), Conflict("a record was changed concurrently; try again")
    )


def conflict(expected: Expect, found: Mapping[bytes, KeyValue]) -> Conflict:
    """The error that names the record whose precondition failed."""
    name = f"{expected.kind.name} {expected.identifier}".strip()
    key = expected.key
    record = found.get(expected.kind.key(expected.identifier))
    if expected.version == ABSENT:
        return Conflict(f"{name} already exists", key=key)
    if record is None:
        return Conflict(f"{name} no longer exists", key=key)
    versions = f"expected version {expected.version}, found {record.mod_revision}"
    return Conflict(f"{name} was changed concurrently ({versions}); try again", key=key)


def committed_at(
    transaction: Transaction, found: Mapping[bytes, KeyValue], known: Mapping[bytes, int], now: int
) -> int | None:
    """The revision of a transaction with unknown outcome, decided from its keys now; None if it was not applied.

    It was applied if all its puts are stored with the same bytes, at one revision newer than the ones known before, and
    all its deleted keys are absent.

    Args:
        known: the keys' mod revisions when the transaction was sent; absent keys are left out or 0.
        now: etcd's revision when `found` was read; the result for a transaction of deletions alone.
    """
    revisions = set()
    for each in transaction.operations:
        record = found.get(each.key)
        if isinstance(each, Delete):
            if record is not None:
                return None
        elif record is None or record.value != each.value or record.mod_revision <= known.get(each.key, 0):
            return None
        else:
            revisions.add(record.mod_revision)
    if len(revisions) > 1:
        return None
    return revisions.pop() if revisions else now


def next_batch(
    writes: Sequence[Write],
    start: int = 0,
    *,
    fence: int | None = None,
    max_operations: int = MAX_OPERATIONS,
    max_bytes: int = MAX_BYTES,
) -> Transaction:
    """One transaction of as many of the writes from `start` on as the limits allow, at least of one.

    Raises:
        Exhausted: the first of them exceeds MAX_BYTES.
    """
    operations: list[Put | Delete] = []
    keys: set[bytes] = set()
    room = max_bytes
    for at in range(start, min(start + max(1, max_operations), len(writes))):
        made = operation(writes[at])
        room -= size(made)
        if operations and (room < 0 or made.key in keys):
            break
        operations.append(made)
        keys.add(made.key)
    return _built(writes[start : start + len(operations)], operations, (), fence, max_operations)


def batches(
    writes: Iterable[Write],
    *,
    fence: int | None = None,
    max_operations: int = MAX_OPERATIONS,
    max_bytes: int = MAX_BYTES,
) -> Iterator[Transaction]:
    """Transactions of consecutive writes, in order, as few as the limits allow.

    Raises:
        Exhausted: a single write exceeds them; raised when it is reached.
    """
    listed = list(writes)
    done = 0
    while done < len(listed):
        batch = next_batch(listed, done, fence=fence, max_operations=max_operations, max_bytes=max_bytes)
        yield batch
        done += len(batch.writes)
