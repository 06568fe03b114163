"""The calls about a cluster, over a store in memory."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from manager.cluster.cluster_handler import ClusterHandler
from manager.store.changes import put
from manager.store.kinds import CLUSTER
from shoal.api.v1.cluster_pb2 import Cluster
from shoal.api.v1.meta_pb2 import Meta
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd


async def responds(_: str) -> None:
    """Every registry."""


@asynccontextmanager
async def cluster_handler() -> AsyncGenerator[ClusterHandler]:
    unused = cast(Any, None)
    async with asyncio.timeout(60), loaded_store(MemoryEtcd()) as store:
        await store.commit([put(CLUSTER, "", Cluster(meta=Meta(id="c")))])
        yield ClusterHandler(
            store=store,
            tokens=unused,
            rotate_keys=unused,
            maintenance=unused,
            check_repository=responds,
            now_ms=lambda: 1000,
            version="test",
        )
