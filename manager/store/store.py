"""The store: a cache of all records, and commits to them.

Reads never leave the process. A commit is one etcd transaction; what it wrote is in the tables when it returns.
Everything else arrives by the watch; `VersionedTables` applies each change once.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence

from manager.store.backend import (
    Backend,
    Batch,
    Compacted,
    Compare,
    Delete,
    HistoryReplaced,
    KeyEvent,
    NoSpace,
    OutcomeUnknown,
    Put,
    RequestTooLarge,
    TxnResult,
    prefix_end,
)
from manager.store.changes import Change, Expect, Write
from manager.store.etcd_history import History
from manager.store.kinds import EPOCH, ROOT, Kind, M
from manager.store.offset_backend import OffsetBackend
from manager.store.record_store import CommitSequence
from manager.store.subscription import Subscription
from manager.store.tables import Tables
from manager.store.transaction import Transaction, build, committed_at, next_batch, rejection
from manager.store.versioned_tables import VersionedTables
from shoal.errors import Exhausted, ShoalError, Timeout, Unavailable
from shoal.fault_points.injection import fault
from shoal.ids import new_id
from shoal.metrics.instruments import Counter, Histogram
from shoal.telemetry.tracing import span

_log = logging.getLogger(__name__)

_COMMIT_SECONDS = Histogram("shoal_store_commit_seconds", "Duration of a transaction of this manager.")
_COMMITS = Counter("shoal_store_commits", "Transactions of this manager, by result.", ("result",))
_WATCH_BREAKS = Counter("shoal_store_watch_breaks", "Times that the watch of the records ended.")

LIST_PAGE_RECORDS = 2000
"""Records per page while listing: about 10 ms of the event loop."""
RESERVED_OPERATIONS = 2
"""In each transaction, for the epoch's condition and the position in a sequence."""
RESOLVE_SECONDS = 1.5
"""To find out what became of a write; with the time that a write may take it is 5 s."""
MIN_DELAY_SECONDS = 0.05
MAX_DELAY_SECONDS = 2.0


class Store:
    """The records of one cluster, as this manager sees and writes them. Implements `BatchStore`.

    Args:
        backend: etcd.
        jitter: a number from 0 to 1 that spreads the managers' reconnections.
    """

    def __init__(self, *, backend: Backend, jitter: Callable[[], float] = random.random) -> None:
        self.tables = Tables()
        self._backend = OffsetBackend(backend)
        self._jitter = jitter
        self._versioned = VersionedTables(self.tables)
        self._start = ROOT.encode()
        self._end = prefix_end(self._start)
        self._subscribers: set[Subscription] = set()
        self._loaded = asyncio.Event()
        self._watched = 0
        self._newest = 0
        self._name, self._changes = new_id(), 0
        self._progress = asyncio.Condition()
        self._history = History(self._versioned)
        self._replaced: asyncio.Queue[HistoryReplaced] = asyncio.Queue()

    async def run(self) -> None:
        """List, then watch, until cancelled. Broken connections are re-established.

        Raises:
            UnreadableRecord: a record in etcd is damaged.
            HistoryReplaced: etcd was restored or wiped, as detected here or by a write.
        """
        following = asyncio.ensure_future(self._follow())
        replaced = asyncio.ensure_future(self._replaced.get())
        try:
            await asyncio.wait((following, replaced), return_when=asyncio.FIRST_COMPLETED)
            if replaced.done():
                raise replaced.result()
            await following
        finally:
            following.cancel()
            replaced.cancel()
            await asyncio.wait((following, replaced))

    async def _follow(self) -> None:
        delay = MIN_DELAY_SECONDS
        listed = False
        while True:
            seen = self._watched
            try:
                if not listed:
                    await self._list()
                    fault("manager.store.listed")
                    listed = True
                await self._watch()
            except Compacted as gap:
                _log.warning("the etcd watch has a gap; listing all records again: %s", gap)
                listed = False
            except HistoryReplaced:
                raise
            except Unavailable as broken:
                _log.warning("etcd is unavailable since revision %d; retrying: %s", self._watched, broken)
            _WATCH_BREAKS.add()
            fault("manager.store.watch-ended")
            delay = MIN_DELAY_SECONDS if self._watched > seen else min(2 * delay, MAX_DELAY_SECONDS)
            await asyncio.sleep(delay * (0.5 + self._jitter() / 2))

    async def ready(self) -> None:
        """Wait until all records are loaded."""
        await self._loaded.wait()

    async def reached(self, revision: int) -> None:
        """As `BatchStore.reached`."""
        async with self._progress:
            await self._progress.wait_for(lambda: self._watched >= revision)

    @property
    def backend(self) -> Backend:
        """etcd with the store's revisions, once the store is `ready`: for keys that are not in the tables."""
        return self._backend

    @property
    def newest_revision(self) -> int:
        """Revision of the newest record, or deletion of one, that is in the tables; every manager `reached` it soon."""
        return self._newest

    @property
    def view_name(self) -> str:
        """Another one after each change of the tables: where it is the same, they are. Of this process alone."""
        return f"{self._name}-{self._changes}"

    @property
    def max_bytes(self) -> int:
        """About how large a commit of several writes may be; lowered when etcd rejects one."""
        return self._backend.max_bytes

    @property
    def max_operations(self) -> int:
        """How many writes, and how many expectations with the fence, a commit may have."""
        return self._backend.max_operations - RESERVED_OPERATIONS

    def version_of(self, kind: Kind[M], identifier: str) -> int:
        """The record's version for an `Expect`, or ABSENT."""
        return self._versioned.version_of(kind, identifier)

    def follow(self) -> Subscription:
        """All changes of the tables from now on; use it as a context manager, and iterate over batches."""
        subscription = Subscription(self._subscribers)
        self._subscribers.add(subscription)
        return subscription

    async def commit(self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None) -> int:
        """As `RecordStore.commit`."""
        try:
            return await self._commit(build(writes, expects, fence, self.max_operations))
        except RequestTooLarge as error:
            raise Exhausted(str(error)) from error

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        """One raw transaction, for keys with a lease, in the same epoch as the tables.

        Raises:
            As `Backend.txn`.
        """
        transaction = Transaction((), tuple(compares), operations).in_epoch(self._history.epoch)
        return await self._send(transaction)

    async def _send(self, transaction: Transaction) -> TxnResult:
        try:
            outcome = await self._backend.txn(transaction.compares, transaction.operations)
            if not outcome.succeeded and isinstance(rejected := rejection(transaction, outcome), HistoryReplaced):
                raise rejected
        except HistoryReplaced as replaced:
            self._replaced.put_nowait(replaced)
            raise
        return outcome

    async def _commit(self, transaction: Transaction) -> int:
        if not transaction.operations and not transaction.compares:
            return self.tables.revision
        began = time.monotonic()
        try:
            with span("commit"):
                revision = await self._commit_once(transaction)
        except Exception as error:
            # A conflict is part of the work: whoever wrote reads again and repeats.
            _COMMITS.add(type(error).__name__.lower() if isinstance(error, ShoalError) else "error")
            raise
        _COMMITS.add("ok")
        _COMMIT_SECONDS.observe(time.monotonic() - began)
        return revision

    async def _commit_once(self, transaction: Transaction) -> int:
        writes, operations = transaction.writes, transaction.operations
        transaction = transaction.in_epoch(self._history.epoch)
        known = {
            operation.key: self.version_of(write.kind, write.identifier)
            for write, operation in zip(writes, operations, strict=True)
        }
        try:
            outcome = await self._send(transaction)
        except (OutcomeUnknown, NoSpace) as failure:
            revision = await self._resolve_outcome(transaction, known, failure)
        else:
            if not outcome.succeeded:
                raise rejection(transaction, outcome)
            revision = outcome.revision
        self._publish(self._versioned.apply_writes(writes, operations, revision))
        if any(isinstance(operation, Put) or known[operation.key] for operation in operations):
            self._newest = max(self._newest, revision)
        return revision

    async def commit_in_batches(
        self, writes: Sequence[Write], *, fence: int | None = None, sequence: CommitSequence | None = None
    ) -> int:
        """As `BatchStore.commit_in_batches`."""
        revision, done = self.tables.revision, 0
        while done < len(writes):
            batch = next_batch(writes, done, fence=fence, max_operations=self.max_operations, max_bytes=self.max_bytes)
            count = len(batch.writes)
            try:
                revision = await self._commit(batch if sequence is None else batch.followed_by(*sequence.following()))
            except RequestTooLarge as error:
                if count == 1:
                    raise Exhausted(str(error)) from error
                continue  # The limits are lower now.
            if sequence is not None:
                sequence.committed(revision)
            done += count
        return revision

    async def _resolve_outcome(
        self, transaction: Transaction, known: dict[bytes, int], failure: OutcomeUnknown | NoSpace
    ) -> int:
        """The revision of a transaction whose outcome is unknown, found by reading its keys."""
        keys = [operation.key for operation in transaction.operations]
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                reading = await self._backend.read(keys)
        except (Unavailable, TimeoutError) as error:
            raise Timeout(
                "etcd became unavailable during a write; the write may have been applied: "
                f"{str(error) or 'check when etcd is available again'}"
            ) from error
        revision = committed_at(transaction, reading.records, known, reading.revision) if keys else None
        if revision is None and isinstance(failure, NoSpace):
            raise failure
        if revision is None:
            raise Timeout(f"the write has not been applied, but still may be: {failure}; check, then try again")
        return revision

    async def _list(self) -> None:
        """Read every record at one revision and apply what is new."""
        listed: set[bytes] = set()
        changed: list[KeyEvent] = []
        first = not self._loaded.is_set()
        if first:
            await self._backend.load()
        revision, key = 0, self._start
        while True:
            page = await self._backend.range(key, self._end, revision=revision, limit=LIST_PAGE_RECORDS)
            revision = page.revision
            events = [KeyEvent(record.key, record.value, record.mod_revision) for record in page.records]
            if not first:
                self._history.check_listing(events, revision)
            listed.update(record.key for record in page.records)
            self._newest = max((self._newest, *(event.mod_revision for event in events)))
            if first:  # There are no readers yet, so pages are applied at once: no consistent cut is needed.
                self._publish(self._versioned.apply_events(events, 0))
            else:
                changed.extend(events)
            if page.next_key is None:
                break
            key = page.next_key
        changed.extend(self._versioned.deletions(listed, revision))
        await self._apply(Batch(revision, changed))
        self._loaded.set()

    async def _watch(self) -> None:
        epoch, watched = self._history.epoch, self._watched
        self._history.check_reading(await self._backend.read([EPOCH.key(epoch)]), epoch=epoch, watched=watched)
        stream = self._backend.watch(self._start, self._end, revision=self._watched + 1)
        try:
            async for batch in stream:
                if batch.events:
                    self._newest = max(self._newest, batch.events[-1].mod_revision)
                await self._apply(batch)
        finally:
            await stream.aclose()

    async def _apply(self, batch: Batch) -> None:
        changes = self._versioned.apply_events(batch.events, batch.revision)
        self._history.check_epoch(self._backend.offset)  # first, so that agents delete nothing because etcd was wiped
        self._publish(changes)
        self._versioned.mark_watched(batch.revision)
        async with self._progress:
            self._watched = max(self._watched, batch.revision)
            self._progress.notify_all()

    def _publish(self, changes: Sequence[Change]) -> None:
        if changes:
            self._changes += 1
            for subscriber in self._subscribers:
                subscriber.publish(changes)
