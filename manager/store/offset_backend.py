"""etcd with the epoch's offset on all its revisions: the one place where they become the store's."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from manager.store.backend import (
    Backend,
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
    prefix_end,
)
from manager.store.kinds import EPOCH
from manager.store.revision_offset import NEVER, compare_in_etcd, in_etcd, offset_of
from manager.store.versioned_tables import decode


class OffsetBackend:
    """Implements `Backend` by another one. `load` before anything else.

    Args:
        inner: etcd, with its own revisions.

    Attributes:
        offset: of the epoch that was loaded; a restoration ends the manager, so it does not change.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.offset = 0

    async def load(self) -> None:
        """Read the epoch's offset.

        Raises:
            Unavailable: etcd is unavailable. UnreadableRecord: the epoch's record is damaged.
        """
        prefix = EPOCH.key("")
        records = (await self._inner.range(prefix, prefix_end(prefix))).records
        self.offset = offset_of(decode(EPOCH, KeyEvent(each.key, each.value, each.mod_revision)) for each in records)

    @property
    def max_operations(self) -> int:
        return self._inner.max_operations

    @property
    def max_bytes(self) -> int:
        return self._inner.max_bytes

    async def range(
        self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0, keys_only: bool = False
    ) -> Page:
        at = in_etcd(revision, self.offset)
        if at == NEVER:
            raise Compacted(f"revision {revision} is of a former epoch of the cluster")
        page = await self._inner.range(start, end, revision=at, limit=limit, keys_only=keys_only)
        if not self.offset:
            return page
        return Page([self._record(each) for each in page.records], page.revision + self.offset, page.next_key)

    async def read(self, keys: Sequence[bytes]) -> Reading:
        reading = await self._inner.read(keys)
        return Reading(self._records(reading.records), reading.revision + self.offset)

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        if not self.offset:
            return await self._inner.txn(compares, operations)
        result = await self._inner.txn([compare_in_etcd(each, self.offset) for each in compares], operations)
        return TxnResult(result.succeeded, result.revision + self.offset, self._records(result.found))

    async def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncGenerator[Batch, None]:
        at = in_etcd(revision, self.offset)
        if at == NEVER:
            raise Compacted(f"revision {revision} is of a former epoch of the cluster")
        async with aclosing(self._inner.watch(start, end, revision=at)) as batches:
            async for batch in batches:
                yield Batch(batch.revision + self.offset, self._events(batch.events))

    async def grant(self, ttl_seconds: int) -> int:
        return await self._inner.grant(ttl_seconds)

    async def keep_alive(self, lease: int) -> int:
        return await self._inner.keep_alive(lease)

    async def revoke(self, lease: int) -> None:
        await self._inner.revoke(lease)

    def _record(self, found: KeyValue) -> KeyValue:
        key, value, modified, created, lease = found
        return KeyValue(key, value, modified + self.offset, created + self.offset, lease)

    def _records(self, found: Mapping[bytes, KeyValue]) -> Mapping[bytes, KeyValue]:
        return {key: self._record(each) for key, each in found.items()} if self.offset else found

    def _events(self, events: Sequence[KeyEvent]) -> Sequence[KeyEvent]:
        if not self.offset:
            return events
        return [KeyEvent(key, value, modified + self.offset) for key, value, modified in events]
