"""The rigs on which the store's contract runs: etcd in memory, and a real one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from manager.etcd.members import own_member
from manager.etcd.server import EtcdServer, etcd_server
from manager.etcd.v3 import etcd_pb2 as rpc
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
async def etcd_rig(directory: Path) -> AsyncGenerator[Rig]:
    server = EtcdServer(directory, unsafe_no_fsync=True)
    async with etcd_server(server) as client, own_member(server.socket) as members:

        async def compact(revision: int) -> None:
            (member,) = members
            await member.kv.Compact(rpc.CompactionRequest(revision=revision, physical=True), timeout=5)

        yield Rig(client, compact)


@pytest.fixture(params=["memory", "etcd"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Rig], Awaitable[None]]], None]:
    """Runs a scenario on one of the rigs, with a deadline."""

    async def play(scenario: Callable[[Rig], Awaitable[None]]) -> None:
        async with asyncio.timeout(60):
            async with memory_rig() if request.param == "memory" else etcd_rig(tmp_path) as rig:
                await scenario(rig)

    return lambda scenario: asyncio.run(play(scenario))
