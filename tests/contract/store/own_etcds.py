"""Managers' own etcds on loopback, as members of one cluster over mutual TLS, and the leader's controller of them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from manager.etcd.client import Etcd
from manager.etcd.layout import EtcdLayout, save_layout
from manager.etcd.own_etcd import OwnEtcd, PeerAddresses, peer_directory
from manager.etcd.server import EtcdServer, etcd_server
from manager.membership.member_api import RemovedFromCluster
from manager.membership.membership_controller import MembershipController
from manager.store.changes import put
from manager.store.kinds import LEADER, MANAGER, MEMBERSHIP
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Leader, Manager, ManagerMembership
from shoal.errors import Timeout, Unavailable
from shoal.identity import certificates
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.task_group import TaskGroup
from tests.contract.store.rig import running_store
from tests.ports import free_port

STATE_SECONDS = 120.0
"""Etcd starts again for others to join it, and changes no members for five seconds after that."""
AUTHORITY = Authority.create("a-cluster", datetime.now(UTC))


def write_certificate(directory: Path, host: str) -> None:
    key = certificates.new_key()
    signed = AUTHORITY.sign_peer(certificates.request(key), "m", "a-cluster", host, datetime.now(UTC))
    Identity(certificate=signed, key=key, ca=AUTHORITY.certificate).save(directory)


@dataclass
class RunningManager:
    """A manager's etcd and what stands on it."""

    name: str
    address: str
    server: EtcdServer
    client: Etcd
    own: OwnEtcd
    opened: asyncio.Event
    removed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Cluster:
    """The first manager and its store; others as they join."""

    root: Path
    stack: AsyncExitStack
    store: Store
    fence: int
    first: RunningManager
    others: dict[str, RunningManager] = field(default_factory=dict)

    async def register(self, manager: RunningManager) -> None:
        record = Manager(
            id=manager.name,
            etcd_member_id=await manager.own.member_id(),
            etcd_peer_address=manager.address,
            etcd_peers_open=manager.own.peers_open,
        )
        await self.store.commit([put(MANAGER, manager.name, record)])

    async def state(self, name: str, desired: str) -> ManagerMembership:
        """Wait until the manager's membership has this state, "" for none."""
        async with asyncio.timeout(STATE_SECONDS):
            while True:
                found = self.store.tables.memberships.get(name)
                if ("" if found is None else ManagerMembership.State.Name(found.state)) == desired:
                    return found or ManagerMembership()
                if self.first.opened.is_set():
                    with suppress(Unavailable, Timeout):  # its etcd has not started again yet
                        await self.register(self.first)
                        self.first.opened.clear()
                await asyncio.sleep(0.05)

    async def request(self, name: str) -> str:
        """The manager asks to join; returns its address."""
        address = f"127.0.0.1:{free_port()}"
        membership = ManagerMembership(
            manager_id=name, state=ManagerMembership.REQUESTED, since_ms=1, peer_address=address
        )
        await self.store.commit([put(MEMBERSHIP, name, membership)])
        return address

    async def set_state(self, name: str, state: ManagerMembership.State.ValueType) -> None:
        changed = ManagerMembership()
        changed.CopyFrom(self.store.tables.memberships[name])
        changed.state = state
        await self.store.commit([put(MEMBERSHIP, name, changed)])

    async def join(self, name: str) -> RunningManager:
        address = await self.request(name)
        await self.state(name, "LEARNER")
        listed = await self.first.client.member_changes.list()
        urls = [f"{each.name or name}={url}" for each in listed.members for url in each.peer_urls]
        directory = self.root / name / "etcd"
        save_layout(directory, EtcdLayout(name, address, address, tuple(urls)))
        write_certificate(peer_directory(directory), "127.0.0.1")
        joined = await self.start(name, address)
        await self.register(joined)
        await self.state(name, "VOTER")
        self.others[name] = joined
        return joined

    async def start(self, name: str, address: str) -> RunningManager:
        """The manager's etcd, which may be removed without an end of everything else."""
        started: asyncio.Future[RunningManager] = asyncio.get_running_loop().create_future()

        async def live() -> None:
            try:
                async with running_manager(self.root, name, address) as manager:
                    started.set_result(manager)
                    await asyncio.Event().wait()
            except* RemovedFromCluster:
                started.result().removed.set()

        task = asyncio.create_task(live())
        self.stack.push_async_callback(stopped, task)
        return await started


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def program_of(root: Path) -> str:
    """The etcd that managers of a test run: `etcd` in its directory, which it may replace, else this machine's."""
    own = root / "etcd"
    return str(own) if own.exists() else "/usr/bin/etcd"


@asynccontextmanager
async def running_manager(root: Path, name: str, address: str) -> AsyncGenerator[RunningManager]:
    server = EtcdServer(root / name, unsafe_no_fsync=True, program=program_of(root))
    async with etcd_server(server) as client:
        addresses = PeerAddresses(address, address)
        opened = asyncio.Event()
        own = OwnEtcd(
            server=server,
            client=client,
            name=name,
            addresses=addresses,
            write_certificate=write_certificate,
            opened=opened.set,
        )
        yield RunningManager(name, address, server, client, own, opened)


@asynccontextmanager
async def cluster(root: Path) -> AsyncGenerator[Cluster]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running_manager(root, "m1", f"127.0.0.1:{free_port()}"))
        store = await stack.enter_async_context(running_store(first.client))
        fence = await store.commit([put(LEADER, "", Leader(manager_id="m1"))])
        made = Cluster(root, stack, store, fence, first)
        await made.register(first)
        controller = MembershipController(
            store=store, etcd=first.client.member_changes, own=first.own, manager_id="m1", now_ms=lambda: 2
        )
        group = await stack.enter_async_context(TaskGroup())
        task = group.create_task(controller.run(fence))
        stack.callback(task.cancel)
        yield made
