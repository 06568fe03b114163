"""etcd in memory: revisions, transactions, watches with history, compaction and leases. Passes the store's contract."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from manager.store.backend import (
    NO_LEASE,
    Batch,
    Compacted,
    Compare,
    Delete,
    KeyEvent,
    KeyValue,
    Page,
    Put,
    Reading,
    TxnResult,
)
from manager.store.transaction import MAX_BYTES, MAX_OPERATIONS
from shoal.errors import Unavailable


@dataclass
class _Lease:
    ttl_seconds: int
    expires: float
    keys: set[bytes] = field(default_factory=set)


class MemoryEtcd:
    """Implements `manager.store.backend.Backend`.

    Args:
        clock: seconds; leases expire by it, seen at the next call.

    Attributes:
        transactions: how many were asked for.
        slow: keys that begin so are written only when `release` is called; empty: none.
        held: transactions that wait for that.
    """

    def __init__(self, *, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.away = False
        self.max_operations = MAX_OPERATIONS
        self.max_bytes = MAX_BYTES
        self.revision = 1
        self.compacted = 0
        self.transactions = 0
        self.slow = b""
        self.held = 0
        self._released = asyncio.Event()
        self._clock = clock
        self._records: dict[bytes, KeyValue] = {}
        self._history: list[KeyEvent] = []
        self._leases: dict[int, _Lease] = {}
        self._ids = itertools.count(1)
        self._changed = asyncio.Event()

    async def range(
        self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0, keys_only: bool = False
    ) -> Page:
        await self._enter()
        at = revision or self.revision
        if at < self.compacted:
            raise Compacted(f"revision {at} is compacted up to {self.compacted}")
        found = [record for key, record in sorted(self._at(at).items()) if start <= key < end]
        if keys_only:
            found = [record._replace(value=b"") for record in found]
        if limit and len(found) > limit:
            return Page(found[:limit], at, found[limit - 1].key + b"\0")
        return Page(found, at, None)

    async def read(self, keys: Sequence[bytes]) -> Reading:
        await self._enter()
        return Reading(self._found(keys), self.revision)

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        self.transactions += 1
        if self.slow and any(each.key.startswith(self.slow) for each in operations):
            self.held += 1
            await self._released.wait()
        await self._enter()
        if not all(compare.holds(self._records.get(compare.key)) for compare in compares):
            return TxnResult(False, self.revision, self._found([compare.key for compare in compares]))
        if not {each.lease for each in operations if isinstance(each, Put)} <= {NO_LEASE, *self._leases}:
            raise Unavailable("the etcd lease has expired")
        self._write(operations)
        return TxnResult(True, self.revision)

    async def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncGenerator[Batch, None]:
        await self._enter()
        while True:
            if revision <= self.compacted:
                raise Compacted(f"history is compacted up to {self.compacted}")
            changed = self._changed
            events = [e for e in self._history if e.mod_revision >= revision and start <= e.key < end]
            revision = max(revision, self.revision + 1)
            for _, group in itertools.groupby(events, key=lambda event: event.mod_revision):
                whole = list(group)
                yield Batch(whole[0].mod_revision, whole)
            await changed.wait()
            if self.away:
                raise Unavailable("the connection was lost")

    async def grant(self, ttl_seconds: int) -> int:
        await self._enter()
        lease = next(self._ids)
        self._leases[lease] = _Lease(ttl_seconds, self._clock() + ttl_seconds)
        return lease

    async def keep_alive(self, lease: int) -> int:
        await self._enter()
        held = self._leases.get(lease)
        if held is None:
            return 0
        held.expires = self._clock() + held.ttl_seconds
        return held.ttl_seconds

    async def revoke(self, lease: int) -> None:
        await self._enter()
        self._end(lease)

    def leave(self) -> None:
        """Break every watch and refuse calls until `come_back`."""
        self.away = True
        self._notify()

    def release(self) -> None:
        """Go on with what was held, and hold nothing more."""
        self.slow = b""
        self._released.set()

    def come_back(self) -> None:
        """Answer again."""
        self.away = False

    def compact(self, revision: int) -> None:
        """Forget what was before this revision, as etcd does."""
        self.compacted = revision
        self._notify()

    async def _enter(self) -> None:
        await asyncio.sleep(0)  # Calls take turns, as they would over a network.
        if self.away:
            raise Unavailable("etcd is unavailable")
        for lease in [each for each, held in self._leases.items() if held.expires < self._clock()]:
            self._end(lease)

    def _end(self, lease: int) -> None:
        held = self._leases.pop(lease, None)
        if held is not None and held.keys:
            self._write([Delete(key) for key in sorted(held.keys)])

    def _found(self, keys: Sequence[bytes]) -> dict[bytes, KeyValue]:
        return {key: self._records[key] for key in keys if key in self._records}

    def _at(self, revision: int) -> dict[bytes, KeyValue]:
        """The records as they were at a revision, rebuilt from the history."""
        records: dict[bytes, KeyValue] = {}
        for event in self._history:
            if event.mod_revision > revision:
                break
            _replay(records, event, NO_LEASE)
        return records

    def _write(self, operations: Sequence[Put | Delete]) -> None:
        effective = [each for each in operations if isinstance(each, Put) or each.key in self._records]
        if not effective:
            return
        self.revision += 1
        for each in effective:
            lease = each.lease if isinstance(each, Put) else NO_LEASE
            event = KeyEvent(each.key, each.value if isinstance(each, Put) else None, self.revision)
            self._move_lease(each.key, lease)
            _replay(self._records, event, lease)
            self._history.append(event)
        self._notify()

    def _move_lease(self, key: bytes, lease: int) -> None:
        before = self._records.get(key)
        if before is not None and before.lease in self._leases:
            self._leases[before.lease].keys.discard(key)
        if lease != NO_LEASE:
            self._leases[lease].keys.add(key)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _replay(records: dict[bytes, KeyValue], event: KeyEvent, lease: int) -> None:
    if event.value is None:
        records.pop(event.key, None)
        return
    before = records.get(event.key)
    created = before.create_revision if before else event.mod_revision
    records[event.key] = KeyValue(event.key, event.value, event.mod_revision, created, lease)
