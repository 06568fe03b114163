"""A manager's store and dispatcher in a process of their own, on a real etcd, serving agents by mutual TLS.

What is to be done there is a function of this process's module, sent with its arguments; what it used is measured.
"""

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from manager.dispatcher.dispatcher import Dispatcher
from manager.etcd.server import EtcdServer, etcd_server
from manager.file_contents.content_codec import EncryptedCodec
from manager.store.changes import put
from manager.store.kinds import MANAGER
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.dispatcher_pb2_grpc import add_DispatcherServicer_to_server
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.keyring import Keyring
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.channel import MAX_STREAM_BYTES
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.manager_access import MANAGER_API
from shoal.task_group import TaskGroup

CLUSTER = "c"
Work = Callable[..., Awaitable[Any]]
"""Takes the store, then what is sent with it."""


@dataclass(frozen=True)
class Used:
    """What the process has used so far."""

    seconds: float
    resident_bytes: int


class ManagerAlone:
    """The manager as its parent sees it.

    Attributes:
        address: where it serves agents.
    """

    def __init__(self, link: Connection, authority: Authority) -> None:
        self._link = link
        self._authority = authority
        self.address: str = link.recv()

    def identity(self, node_id: str) -> Identity:
        """A node's."""
        return self._authority.issue(CertificateSubject(node_id, Role.AGENT, CLUSTER), datetime.now(UTC))

    def begin(self, work: Work, *args: object) -> None:
        """Have it done; `result` says what came of it."""
        self._link.send((work, args))

    def result(self) -> Any:
        """Of what was begun."""
        return self._link.recv()

    def do(self, work: Work, *args: object) -> Any:
        """Have it done, and wait."""
        self.begin(work, *args)
        return self.result()

    def used(self) -> Used:
        """Processor seconds and memory of the manager; not of its etcd."""
        found = self.do(_used)
        assert isinstance(found, Used)
        return found


@contextmanager
def manager_alone(directory: Path, heartbeat_seconds: float = 2.0) -> Iterator[ManagerAlone]:
    """Run it while the block lasts."""
    authority = Authority.create(CLUSTER, datetime.now(UTC))
    identity = authority.issue(CertificateSubject("m1", Role.MANAGER, CLUSTER), datetime.now(UTC))
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_live, args=(there, directory, identity, heartbeat_seconds))
    process.start()
    there.close()
    try:
        yield ManagerAlone(here, authority)
    finally:
        here.close()
        process.join(30)


def _live(link: Connection, directory: Path, identity: Identity, heartbeat_seconds: float) -> None:
    asyncio.run(_serve(link, directory, identity, heartbeat_seconds))


async def _serve(link: Connection, directory: Path, identity: Identity, heartbeat_seconds: float) -> None:
    async with etcd_server(EtcdServer(directory)) as backend, TaskGroup() as group:
        store = Store(backend=backend)
        dispatcher = Dispatcher(
            store=store,
            manager_id="m1",
            now_ms=lambda: time.time_ns() // 1_000_000,
            secrets=EncryptedCodec(Keyring(bytes(32))),
            heartbeat_seconds=heartbeat_seconds,
        )
        running = [group.create_task(store.run()), group.create_task(dispatcher.run())]
        await store.ready()
        async with _listening(dispatcher, identity) as address:
            await store.commit([put(MANAGER, "m1", Manager(id="m1", api_address=address))])
            link.send(address)
            await _obey(link, store)
        for task in running:
            task.cancel()


@asynccontextmanager
async def _listening(dispatcher: Dispatcher, identity: Identity) -> AsyncIterator[str]:
    server = make_server(MANAGER_API, max_receive_bytes=MAX_STREAM_BYTES)
    add_DispatcherServicer_to_server(dispatcher, server)
    port = listen(server, "127.0.0.1:0", lambda: identity)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def _obey(link: Connection, store: Store) -> None:
    """Until the other end is closed."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            work, args = await loop.run_in_executor(None, link.recv)
        except EOFError:
            return
        link.send(await work(store, *args))


async def _used(_store: Store) -> Used:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Used(usage.ru_utime + usage.ru_stime, pages * os.sysconf("SC_PAGE_SIZE"))
