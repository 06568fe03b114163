"""A client of a copy of etcd's data."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from manager.etcd.data_copy import DataCopy
from manager.etcd.members import own_member
from manager.etcd.read_only_client import ReadOnlyEtcd
from manager.store.backend import NO_LEASE, KeyValue, Put
from shoal.errors import Unavailable

NOW_MS = 1_800_000_000_000
RECORDS = [KeyValue(f"/shoal/v1/{name}".encode(), b"value", 5, 3, NO_LEASE) for name in ("a", "b", "c", "d")]
KEYS = [each.key for each in RECORDS]


async def client(directory: Path) -> ReadOnlyEtcd:
    copy = DataCopy(RECORDS, 9, NOW_MS - 60_000)
    return ReadOnlyEtcd(members=own_member(directory / "no-etcd"), copy=copy, now_ms=NOW_MS)


def test_records_are_read_in_pages(tmp_path: Path) -> None:
    async def scenario() -> None:
        etcd = await client(tmp_path)
        start, end, found = b"/shoal/v1/b", b"/shoal/v2", []
        while True:
            page = await etcd.range(start, end, limit=2)
            found += [each.key for each in page.records]
            assert page.revision == 9 and len(page.records) <= 2
            if page.next_key is None:
                break
            start = page.next_key
        assert found == KEYS[1:]
        assert (await etcd.range(b"/x", b"/y")).records == []
        assert set((await etcd.read([KEYS[0], b"/none"])).records) == {KEYS[0]}

    asyncio.run(scenario())


def test_it_says_since_when_it_is_out_of_date_and_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        etcd = await client(tmp_path)
        assert abs(etcd.majority.silent_since(NOW_MS) - (NOW_MS - 60_000)) < 1000
        with pytest.raises(Unavailable, match="nothing was changed: start the other managers"):
            await etcd.txn((), [Put(b"/shoal/v1/a", b"other")])
        with pytest.raises(Unavailable):
            await etcd.read([])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await etcd.grant(3)
        async with aclosing(etcd.watch(b"/", b"0", revision=10)) as batches:
            assert (await anext(batches)).revision == 9
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(batches)

    asyncio.run(scenario())
