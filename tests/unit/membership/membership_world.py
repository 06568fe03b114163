"""Managers with an etcd each, of which only records and member calls exist."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from manager.membership.member_api import EtcdMember, NotNow
from manager.membership.membership_controller import MembershipController
from manager.membership.membership_plan import Situation, successor
from manager.store.changes import delete, put
from manager.store.kinds import LEADER, MANAGER, MEMBERSHIP
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Leader, Manager, ManagerMembership
from shoal.errors import Conflict, LeadershipLost, Unavailable
from tests.fakes.etcd_members import FakeEtcdMembers
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

FIRST = 1


@dataclass
class World:
    """The cluster. Manager m1 is its first; each manager is found at <id>:7443."""

    store: Store
    fence: int
    etcd: FakeEtcdMembers = field(default_factory=FakeEtcdMembers)
    now_ms: int = 1_000_000
    opened: set[str] = field(default_factory=set)
    leader: str = "m1"

    @property
    def peer_address(self) -> str:
        return f"{self.leader}:7443"

    @property
    def peers_open(self) -> bool:
        return self.leader in self.opened

    async def open_peers(self) -> None:
        self.opened.add(self.leader)
        await self.run(self.leader, FIRST)

    async def run(self, name: str, member_id: int, *, address: str = "") -> None:
        """The manager runs: it has its lease."""
        manager = Manager(
            id=name,
            etcd_member_id=member_id,
            etcd_peer_address=address or f"{name}:7443",
            etcd_peers_open=name != "m1" or name in self.opened,
        )
        self.etcd.start(member_id, name)
        await self.store.commit([put(MANAGER, name, manager)])

    async def stop(self, name: str) -> None:
        """The manager and its etcd are gone, until further notice."""
        self.etcd.running.discard(self.membership(name).member_id)
        await self.store.commit([delete(MANAGER, name)])

    async def request(self, name: str) -> None:
        """A manager has been given its certificate and waits."""
        requested = ManagerMembership(
            manager_id=name, state=ManagerMembership.REQUESTED, since_ms=self.now_ms, peer_address=f"{name}:7443"
        )
        await self.set(requested)

    async def set(self, membership: ManagerMembership) -> None:
        await self.store.commit([put(MEMBERSHIP, membership.manager_id, membership)])

    async def set_state(self, name: str, state: ManagerMembership.State.ValueType) -> None:
        changed = ManagerMembership()
        changed.CopyFrom(self.membership(name))
        changed.state = state
        await self.set(changed)

    def membership(self, name: str) -> ManagerMembership:
        return self.store.tables.memberships[name]

    def state(self, name: str) -> str:
        found = self.store.tables.memberships.get(name)
        return "" if found is None else ManagerMembership.State.Name(found.state)

    def controller(self) -> MembershipController:
        """Of the leader; a new one remembers nothing."""
        return MembershipController(
            store=self.store, etcd=self.etcd, own=self, manager_id=self.leader, now_ms=lambda: self.now_ms
        )

    async def step(self) -> bool:
        """One step of a leader that has just taken over."""
        self.now_ms += 1_000
        try:
            await self.hand_over()
            return await self.controller().step(self.fence)
        except (NotNow, Unavailable, Conflict):
            return True
        except LeadershipLost:
            self.leader = next(name for name in self.store.tables.managers if name != self.leader)
            return True

    async def hand_over(self) -> None:
        """Every running manager that is being removed looks whether its etcd leads."""
        for name in list(self.store.tables.managers):
            found = await self.etcd.list()
            tables = self.store.tables
            situation = Situation(
                found.members, tables.memberships, tables.managers, name, found.leader_id, self.now_ms
            )
            if (target := successor(situation)) is not None:
                await self.etcd.move_leader(target)

    async def settle(self, limit: int = 40) -> None:
        """Steps until there is nothing to do, or nothing can be done."""
        for _ in range(limit):
            if not await self.step():
                return

    async def join(self, name: str) -> None:
        """A manager joins, starts, and is taken in."""
        await self.request(name)
        await self.settle()
        if member_id := self.membership(name).member_id:  # Otherwise it has to wait for another one.
            await self.run(name, member_id)
            await self.settle()


@asynccontextmanager
async def world() -> AsyncGenerator[World]:
    """One manager, that listens on a Unix socket."""
    async with loaded_store(MemoryEtcd()) as store:
        fence = await store.commit([put(LEADER, "", Leader(manager_id="m1"))])
        made = World(store, fence)
        made.etcd.members[FIRST] = EtcdMember(FIRST, "default", ("unix://peer:0",))
        await made.run("m1", FIRST)
        yield made


def urls(world: World) -> list[str]:
    """Peer URLs of all members."""
    return sorted(url for member in world.etcd.members.values() for url in member.peer_urls)
