"""An etcd that runs out of space while many write: what is refused was not written."""

import asyncio
import itertools
from pathlib import Path

from manager.etcd.server import EtcdServer, etcd_server
from manager.store.backend import NoSpace
from manager.store.changes import put
from manager.store.kinds import TASK
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.task_pb2 import Task
from tests.contract.store.rig import running_store

WRITERS = 16
REFUSALS = 40
LARGE = "x" * 20_000


def test_no_write_is_refused_that_was_made(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = EtcdServer(tmp_path, quota_bytes=16 << 20, unsafe_no_fsync=True)
        async with etcd_server(server) as etcd, running_store(etcd) as store:
            numbers = itertools.count()
            acknowledged: set[str] = set()
            refused: set[str] = set()

            async def writer() -> None:
                while len(refused) < REFUSALS:
                    name = f"t{next(numbers)}"
                    task = Task(id=name, generic_resources=[GenericResource(kind=LARGE)])
                    try:
                        await store.commit([put(TASK, name, task)])
                        acknowledged.add(name)
                    except NoSpace:
                        refused.add(name)

            await asyncio.gather(*(writer() for _ in range(WRITERS)))
            listed = (await etcd.range(b"/", b"0")).records
            assert {TASK.identifier(record.key) for record in listed} == acknowledged

    async def limited() -> None:
        async with asyncio.timeout(150):
            await scenario()

    asyncio.run(limited())
