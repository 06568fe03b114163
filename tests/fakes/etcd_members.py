"""etcd's member calls in memory, with the rules of etcd 3.4 that matter to who calls them."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from manager.membership.member_api import EtcdMember, EtcdMembers, NotNow
from shoal.errors import Unavailable


@dataclass
class FakeEtcdMembers:
    """Implements `manager.membership.member_api.MemberApi`.

    Attributes:
        running: ids of members that run and are connected.
        behind: ids of learners that have not caught up.
        changes: what was done, in order.
        lose_answers: of so many changes from now on the answer is lost: they are made, and the caller gets an error.
        meanwhile: what happens, once, after the next change is made and before it is answered.
    """

    members: dict[int, EtcdMember] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    behind: set[int] = field(default_factory=set)
    leader: int = 0
    changes: list[str] = field(default_factory=list)
    lose_answers: int = 0
    meanwhile: Callable[[], Awaitable[None]] | None = None
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(100))

    def start(self, member_id: int, name: str) -> None:
        """The member runs from now on."""
        self.members[member_id] = replace(self.members[member_id], name=name)
        self.running.add(member_id)

    def voters(self) -> list[EtcdMember]:
        return [each for each in self.members.values() if not each.is_learner]

    def has_quorum(self) -> bool:
        voters = self.voters()
        return sum(each.id in self.running for each in voters) > len(voters) // 2

    async def list(self) -> EtcdMembers:
        if not self.has_quorum():
            raise Unavailable("etcd has no quorum")
        if self.leader not in self.running:
            self.leader = next(each.id for each in self.voters() if each.id in self.running)
        return EtcdMembers(list(self.members.values()), self.leader)

    async def add_learner(self, peer_url: str) -> EtcdMember:
        self._check_health()
        if any(each.is_learner for each in self.members.values()):
            raise NotNow("too many learner members in cluster")
        if any(peer_url in each.peer_urls for each in self.members.values()):
            raise NotNow("Peer URLs already exists")
        added = EtcdMember(next(self._ids), "", (peer_url,), is_learner=True)
        self.members[added.id] = added
        await self._made(f"add {peer_url}")
        return added

    async def promote(self, member_id: int) -> None:
        self._check_health()
        learner = self.members[member_id]
        if member_id not in self.running or member_id in self.behind:
            raise NotNow("can only promote a learner member which is in sync with leader")
        self.members[member_id] = replace(learner, is_learner=False)
        await self._made(f"promote {learner.name}")

    async def remove(self, member_id: int) -> None:
        if not self.has_quorum():
            raise Unavailable("etcd has no quorum")
        removed = self.members.pop(member_id, None)
        self.running.discard(member_id)
        if removed is not None:
            await self._made(f"remove {removed.name}")

    async def update(self, member_id: int, peer_url: str) -> None:
        self.members[member_id] = replace(self.members[member_id], peer_urls=(peer_url,))
        await self._made(f"update {peer_url}")

    async def move_leader(self, member_id: int) -> None:
        self.leader = member_id
        await self._made(f"lead {self.members[member_id].name}")

    def _check_health(self) -> None:
        if any(each.id not in self.running for each in self.voters()):
            raise NotNow("unhealthy cluster")

    async def _made(self, change: str) -> None:
        self.changes.append(change)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("the connection was lost")
