"""The rigs on which the store's contract runs: etcd in memory, the same in a later epoch, and a real one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from manager.etcd.members import own_member
from manager.etcd.server import EtcdServer, etcd_server
from manager.etcd.v3 import etcd_pb2 as rpc
from manager.store.offset_backend import OffsetBackend
from manager.store.revision_offset import LEAST_STEP
from tests.contract.store.rig import Rig
from tests.fakes.memory_etcd import MemoryEtcd

MakeRig = Callable[[], AbstractAsyncContextManager[Rig]]


@asynccontextmanager
async def memory_rig() -> AsyncGenerator[Rig]:
    backend = MemoryEtcd()

    async def compact(revision: int) -> None:
        backend.compact(revision)

    yield Rig(backend, compact)


@asynccontextmanager
async def later_epoch_rig() -> AsyncGenerator[Rig]:
    """etcd in memory with the revisions of a cluster that was restored."""
    inner = MemoryEtcd()
    backend = OffsetBackend(inner)
    backend.offset = LEAST_STEP

    async def compact(revision: int) -> None:
        inner.compact(revision - LEAST_STEP)

    yield Rig(backend, compact)


@asynccontextmanager
async def etcd_rig(directory: Path) -> AsyncGenerator[Rig]:
    server = EtcdServer(directory, unsafe_no_fsync=True)
    async with etcd_server(server) as client, own_member(server.socket) as members:

        async def compact(revision: int) -> None:
            (member,) = members
            await member.kv.Compact(rpc.CompactionRequest(revision=revision, physical=True), timeout=60)

        yield Rig(client, compact)


@pytest.fixture(params=["memory", "later epoch", "etcd"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Rig], Awaitable[None]]], None]:
    """Runs a scenario on one of the rigs, with a deadline."""

    rigs: Mapping[str, MakeRig] = {
        "memory": memory_rig,
        "later epoch": later_epoch_rig,
        "etcd": partial(etcd_rig, tmp_path),
    }

    async def play(scenario: Callable[[Rig], Awaitable[None]]) -> None:
        async with asyncio.timeout(60), rigs[request.param]() as rig:
            await scenario(rig)

    return lambda scenario: asyncio.run(play(scenario))
