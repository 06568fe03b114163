"""A store that is loaded while a backup is restored ends: its revisions would lack the new epoch's offset."""

import asyncio

import pytest

from manager.store.backend import HistoryReplaced, Page, Put
from manager.store.kinds import EPOCH
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Epoch
from tests.fakes.memory_etcd import MemoryEtcd


class RestoredMeanwhile(MemoryEtcd):
    """An epoch begins after the first reading."""

    async def range(
        self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0, keys_only: bool = False
    ) -> Page:
        page = await super().range(start, end, revision=revision, limit=limit, keys_only=keys_only)
        if start == EPOCH.key(""):
            epoch = Epoch(id="new", revision_offset=10**9)
            await self.txn((), [Put(EPOCH.key(epoch.id), epoch.SerializeToString())])
        return page


def test_a_store_that_is_loaded_during_a_restoration_ends() -> None:
    async def scenario() -> None:
        store = Store(backend=RestoredMeanwhile())
        with pytest.raises(HistoryReplaced, match="another epoch began"):
            async with asyncio.timeout(20):
                await store.run()

    asyncio.run(scenario())
