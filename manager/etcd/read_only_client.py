"""A client that reads from a copy of etcd's data, and writes nothing: for a manager whose etcd finds no majority."""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence

from manager.etcd.client import Etcd
from manager.etcd.data_copy import DataCopy
from manager.etcd.members import Members
from manager.store.backend import Batch, Compare, Delete, KeyValue, Page, Put, Reading, TxnResult
from shoal.errors import Unavailable

_NO_MAJORITY = (
    "etcd has found no majority of its members since this manager was started; nothing was changed: start the other "
    "managers (see `shoal manager ls`), or, if they are lost for good, run `shoal-manager recover --force`"
)


class ReadOnlyEtcd(Etcd):
    """Of its own kind only in what it does with records: everything else is asked of the members, which may answer.

    Args:
        members: the etcd that does not respond.
    """

    def __init__(self, *, members: Members, copy: DataCopy, now_ms: int) -> None:
        super().__init__(members=members)
        self._copy = copy
        self._keys = [each.key for each in copy.records]
        self._by_key: dict[bytes, KeyValue] = {each.key: each for each in copy.records}
        self.majority.lost_before((now_ms - copy.written_at_ms) / 1000)

    async def range(
        self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0, keys_only: bool = False
    ) -> Page:
        first, last = bisect_left(self._keys, start), bisect_left(self._keys, end)
        cut = min(last, first + limit) if limit else last
        records = self._copy.records[first:cut]
        if keys_only:
            records = [record._replace(value=b"") for record in records]
        return Page(records, self._copy.revision, self._keys[cut] if cut < last else None)

    async def read(self, keys: Sequence[bytes]) -> Reading:
        """Raises Unavailable: no keys are asked for, so it is asked whether etcd responds."""
        if not keys:
            raise Unavailable(_NO_MAJORITY)
        return Reading({key: self._by_key[key] for key in keys if key in self._by_key}, self._copy.revision)

    async def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncGenerator[Batch, None]:
        """Nothing changes."""
        yield Batch(self._copy.revision, ())
        await asyncio.Event().wait()

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        """Raises Unavailable, always."""
        raise Unavailable(_NO_MAJORITY)

    async def grant(self, ttl_seconds: int) -> int:
        """Wait: without a majority there is no lease."""
        return int(await asyncio.Event().wait())

    async def revoke(self, lease: int) -> None:
        """Raises Unavailable, always."""
        raise Unavailable(_NO_MAJORITY)
