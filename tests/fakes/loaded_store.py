"""The real store over etcd in memory, for tests of what stands on it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from manager.store.store import Store
from tests.fakes.memory_etcd import MemoryEtcd


@asynccontextmanager
async def loaded_store(etcd: MemoryEtcd) -> AsyncGenerator[Store]:
    """A store that has loaded all records and watches."""
    store = Store(backend=etcd)
    running = asyncio.create_task(store.run())
    try:
        await store.ready()
        yield store
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
